# Runs a program that has a file system of $1 KiB at the folder $2 for itself alone; it is not root, which some servers refuse.
exec unshare --user --map-root-user --mount sh -c '
    mount -t tmpfs -o size="$1"k,mode=700 mpc "$2" || exit 1
    shift 2
    exec unshare --user --map-user=1 --map-group=1 "$@"' sh "$@"
