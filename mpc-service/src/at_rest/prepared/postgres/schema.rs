//! The tables, by version, and every statement about them.
//!
//! The first two parameters of a statement are the scope and the batch, unless it is about all batches of a scope.

/// Each version's change of the tables, from the first on. A change once published stays as it is.
pub(super) const MIGRATIONS: [&str; 1] = ["
    create table mpc_batch (
        scope bytea not null,
        id bytea not null,
        plan bytea,
        size integer not null default 0,
        description bytea,
        model_key bytea not null,
        prepared_at timestamptz not null default now(),
        writing_until timestamptz,
        primary key (scope, id)
    );
    create table mpc_prepared (
        scope bytea not null,
        batch bytea not null,
        idx integer not null,
        wrapped_key bytea not null,
        length bigint not null,
        data bytea not null,
        holder bytea,
        held_until timestamptz,
        primary key (scope, batch, idx),
        foreign key (scope, batch) references mpc_batch on delete cascade
    );
    create table mpc_piece (
        scope bytea not null,
        batch bytea not null,
        idx integer not null,
        seq integer not null,
        length bigint not null,
        data bytea not null,
        orphan_since timestamptz,
        primary key (scope, batch, idx, seq)
    );
    create table mpc_used (
        scope bytea not null,
        batch bytea not null,
        idx integer not null,
        state text not null check (state in ('used', 'done', 'burnt')),
        replica bytea not null,
        at timestamptz not null default now(),
        primary key (scope, batch, idx),
        foreign key (scope, batch) references mpc_batch on delete cascade
    );
    create table mpc_dropped (
        scope bytea not null,
        batch bytea not null,
        servers bytea not null,
        holder bytea,
        held_until timestamptz,
        primary key (scope, batch)
    );
"];

/// The number of an advisory lock that one who changes the tables holds.
pub(super) const MIGRATION_LOCK: i64 = 0x6d70_6373_746f_7265;

pub(super) const VERSION_TABLE: &str = "create table if not exists mpc_schema (version integer not null)";
pub(super) const VERSION: &str = "select version from mpc_schema";
pub(super) const HAS_VERSION: &str = "select to_regclass('mpc_schema') is not null";

pub(super) const BATCHES: &str = "select id from mpc_batch where scope = $1 and description is not null";

pub(super) const DESCRIBE: &str =
    "select description, model_key from mpc_batch where scope = $1 and id = $2 and description is not null";

pub(super) const READY: &str = "
    select idx from mpc_prepared join mpc_batch on mpc_batch.scope = mpc_prepared.scope and id = batch
    where mpc_prepared.scope = $1 and batch = $2 and description is not null order by idx";

pub(super) const USAGE: &str = "
    select count(idx) filter (where state <> 'burnt'), count(idx) filter (where state = 'burnt'),
        max(idx) filter (where state <> 'burnt'), max(idx), max(idx) filter (where state = 'done'),
        extract(epoch from now() - prepared_at)::double precision
    from mpc_batch left join mpc_used on mpc_used.scope = mpc_batch.scope and batch = id
    where mpc_batch.scope = $1 and id = $2 and description is not null group by prepared_at";

pub(super) const WAS_USED: &str =
    "select 1 from mpc_used where scope = $1 and batch = $2 and idx = $3 and state <> 'burnt'";

/// Whether the row could be leased, if it is there.
pub(super) const HOLD: &str = "
    with leased as (
        update mpc_prepared set holder = $4, held_until = now() + make_interval(secs => $5)
        where scope = $1 and batch = $2 and idx = $3 and (held_until is null or held_until < now())
            and exists (select from mpc_batch where scope = $1 and id = $2 and description is not null)
        returning idx)
    select exists (select from leased) from mpc_prepared where scope = $1 and batch = $2 and idx = $3
        and exists (select from mpc_batch where scope = $1 and id = $2 and description is not null)";

/// Of a batch in the making, which is one process's.
pub(super) const HOLD_UNFINISHED: &str = "
    update mpc_prepared set holder = $4, held_until = now() + make_interval(secs => $5)
    where scope = $1 and batch = $2 and idx = $3
        and exists (select from mpc_batch where scope = $1 and id = $2 and description is null)";

pub(super) const HOLD_ANY: &str = "
    update mpc_prepared set holder = $3, held_until = now() + make_interval(secs => $4)
    where scope = $1 and batch = $2 and idx = (
        select idx from mpc_prepared
        where scope = $1 and batch = $2 and (held_until is null or held_until < now())
            and exists (select from mpc_batch where scope = $1 and id = $2 and description is not null)
        order by idx limit 1 for update skip locked)
    returning idx";

pub(super) const RELEASE: &str = "
    update mpc_prepared set holder = null, held_until = null
    where scope = $1 and batch = $2 and idx = $3 and holder = $4";

/// One statement, and so all of it or nothing: the row with its key is gone, and what became of it is noted.
pub(super) const CLAIM: &str = "
    with taken as (
        delete from mpc_prepared where scope = $1 and batch = $2 and idx = $3 and holder = $4
        returning wrapped_key, length, data),
    noted as (
        insert into mpc_used (scope, batch, idx, state, replica) select $1, $2, $3, $5, $4 from taken)
    select wrapped_key, length, data from taken";

/// The other leases of one who claims: it has not been killed.
pub(super) const RENEW: &str = "
    update mpc_prepared set held_until = now() + make_interval(secs => $4)
    where scope = $1 and batch = $2 and holder = $3";

pub(super) const CONFIRM: &str =
    "update mpc_used set state = 'done' where scope = $1 and batch = $2 and idx = $3 and state = 'used'";

pub(super) const HELD_BELOW: &str = "
    select idx from mpc_prepared where scope = $1 and batch = $2 and idx < $3 and held_until >= now()
    order by idx limit 1";

pub(super) const BURN_READY: &str = "
    with taken as (delete from mpc_prepared where scope = $1 and batch = $2 and idx < $3 returning idx)
    insert into mpc_used (scope, batch, idx, state, replica) select $1, $2, idx, 'burnt', '' from taken";

pub(super) const BURN_OTHERS: &str = "
    insert into mpc_used (scope, batch, idx, state, replica)
    select $1, $2, idx, 'burnt', '' from generate_series(0, $3 - 1) as all_of_them (idx) on conflict do nothing";

pub(super) const BEGIN: &str = "
    insert into mpc_batch (scope, id, model_key, writing_until)
    values ($1, $2, $3, now() + make_interval(secs => $4)) on conflict do nothing";

/// It is on disk when the batch is complete, which waits for all before it.
pub(super) const PREPARE: &str = "
    with later as (select set_config('synchronous_commit', 'off', true))
    insert into mpc_prepared (scope, batch, idx, wrapped_key, length, data) select $1, $2, $3, $4, $5, $6 from later";

pub(super) const PIECE: &str = "
    with later as (select set_config('synchronous_commit', 'off', true))
    insert into mpc_piece (scope, batch, idx, seq, length, data) select $1, $2, $3, $4, $5, $6 from later";

/// Tries whether there is room for what is not kept.
pub(super) const TRY: &str = "
    insert into mpc_piece (scope, batch, idx, seq, length, data) values ('', $1, -1, 0, 0, $2)";

pub(super) const FINISH: &str = "
    update mpc_batch set plan = $3, size = $4, description = $5, prepared_at = now(), writing_until = null
    where scope = $1 and id = $2 and description is null";

/// The pieces of an inference that was claimed stay for whoever reads them.
pub(super) const REMOVE: [&str; 3] = [
    "delete from mpc_piece where scope = $1 and batch = $2 and (idx < 0 or idx in
        (select idx from mpc_prepared where scope = $1 and batch = $2))",
    "update mpc_piece set orphan_since = now() where scope = $1 and batch = $2 and orphan_since is null",
    "delete from mpc_batch where scope = $1 and id = $2",
];

pub(super) const LENGTH: &str = "
    select coalesce(sum(length), 0)::bigint from mpc_piece where scope = $1 and batch = $2 and idx = $3";

pub(super) const READ_PIECE: &str =
    "select data from mpc_piece where scope = $1 and batch = $2 and idx = $3 and seq = $4";

pub(super) const DROP_PIECES: &str = "delete from mpc_piece where scope = $1 and batch = $2 and idx = $3";

pub(super) const NOTE: &str = "
    insert into mpc_dropped (scope, batch, servers, holder, held_until)
    values ($1, $2, $3, $4, now() + make_interval(secs => $5))
    on conflict (scope, batch) do update set servers = $3, holder = $4, held_until = now() + make_interval(secs => $5)";

pub(super) const TAKE_NOTES: &str = "
    update mpc_dropped set holder = $2, held_until = now() + make_interval(secs => $3)
    where scope = $1 and (held_until is null or held_until <= now()) returning batch, servers";

pub(super) const IS_NOTED: &str = "select 1 from mpc_dropped where scope = $1 and batch = $2";

pub(super) const RELEASE_NOTE: &str =
    "update mpc_dropped set holder = null, held_until = null where scope = $1 and batch = $2 and holder = $3";

pub(super) const FORGET_NOTE: &str = "delete from mpc_dropped where scope = $1 and batch = $2 and holder = $3";

/// The batches of a scope whose process ended before they were complete, or before all servers had confirmed them.
pub(super) const ABANDONED: &str = "
    select id from mpc_batch where scope = $1 and ((description is null and writing_until < now()) or id in
        (select batch from mpc_dropped where scope = $1 and (held_until is null or held_until <= now())))";

/// The batches in which nothing is ready, nor was used so short a time ago that it may be in use.
pub(super) const USED_UP: &str = "
    select id from mpc_batch where scope = $1 and description is not null
        and not exists (select from mpc_prepared where mpc_prepared.scope = $1 and batch = id)
        and not exists (select from mpc_used where mpc_used.scope = $1 and batch = id
            and state = 'used' and at > now() - make_interval(secs => $2))";

/// The pieces that nobody reads any more.
pub(super) const SWEEP: &str = "
    delete from mpc_piece where scope = $1 and (orphan_since < now() - interval '1 day' or exists
        (select from mpc_used where mpc_used.scope = $1 and mpc_used.batch = mpc_piece.batch
            and mpc_used.idx = mpc_piece.idx and at < now() - interval '1 day'))";
