//! The sealed parts of a page's request, and of the answer: HPKE (RFC 9180) in base mode with X25519, HKDF-SHA-256 and
//! AES-128-GCM.

use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable, setup_receiver};
use mpc_transport::tls::Identity;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::problem::Problem;
use super::tickets::{TICKET_BYTES, Ticket};
use crate::names::{DepositId, Owner, SessionId, hexadecimal};
use crate::wire::address::MAX_ADDRESS_BYTES;

type Suite = X25519HkdfSha256;

/// The purpose that requests are sealed for: the `info` of HPKE.
const REQUEST: &[u8] = b"mpc page request 1";
/// The contexts under which the key and the nonce of the answer are exported. There is one answer to a request.
const ANSWER_KEY: &[u8] = b"mpc page answer key 1";
const ANSWER_NONCE: &[u8] = b"mpc page answer nonce 1";

const ENCAPSULATED_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// The bytes for the address of another server: its length, its text, and zeros.
const ADDRESS_BYTES: usize = 2 + MAX_ADDRESS_BYTES;
/// The bytes in front of the addresses and the share in a request that is opened.
const HEADER_BYTES: usize = 16 + TICKET_BYTES + 32 + 16 + 32 + 32;
/// The bytes in place of a dealer's fingerprint where there is no dealer.
const NO_DEALER: [u8; 32] = [0; 32];

/// The public key to which a page seals what is for one server alone. It belongs to the server's identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WebKey(pub [u8; 32]);

hexadecimal!(WebKey, "a key has 64 hexadecimal digits");

/// A server's pair of keys, derived from its identity.
pub(crate) struct KeyPair {
    secret: <Suite as Kem>::PrivateKey,
    /// The public key.
    pub(crate) public: WebKey,
}

impl KeyPair {
    pub(crate) fn of(identity: &Identity) -> Self {
        let (secret, public) = Suite::derive_keypair(&identity.derive_key("web")[..]);
        Self { secret, public: WebKey(public.to_bytes().into()) }
    }
}

impl WebKey {
    /// The key of a server with that identity.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        KeyPair::of(identity).public
    }
}

/// A request that was opened.
pub(crate) struct Posted {
    /// The session, which the page makes up, the same for all servers.
    pub(crate) session: SessionId,
    /// The model that it chose of those that all servers have.
    pub(crate) deposit: DepositId,
    /// The dealer that it was told of, if there is one.
    pub(crate) dealer: Option<[u8; 32]>,
    /// The SHA-256 of the keys of all servers that it seals to, in the order of their parties.
    pub(crate) servers: [u8; 32],
    /// Where the machines of the servers before this one are that take part, as far as they have said so.
    pub(crate) addresses: Vec<Option<String>>,
    /// All that was sealed; at its end the bytes of an [`InputShare`](mpc_nn::InputShare).
    opened: Zeroizing<Vec<u8>>,
    /// How the answer is sealed.
    pub(crate) answer: Answer,
}

impl Posted {
    /// The bytes of the share.
    pub(crate) fn share(&self) -> &[u8] {
        &self.opened[HEADER_BYTES + ADDRESS_BYTES * self.addresses.len()..]
    }

    /// The length of a request to a server of that index, with a share of so many bytes.
    pub(crate) fn sealed_bytes(party: usize, share: usize) -> usize {
        ENCAPSULATED_BYTES + HEADER_BYTES + ADDRESS_BYTES * party + share + TAG_BYTES
    }

    /// Opens a request to the server of that index, and gives its ticket beside.
    pub(crate) fn open(keys: &KeyPair, party: usize, sealed: &[u8]) -> Result<(Self, Ticket), Problem> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(Problem::WrongKey)?;
        let encapsulated = <Suite as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| Problem::WrongKey)?;
        let context =
            setup_receiver::<AesGcm128, HkdfSha256, Suite>(&OpModeR::Base, &keys.secret, &encapsulated, REQUEST);
        let mut context = context.map_err(|_| Problem::WrongKey)?;
        let opened = Zeroizing::new(context.open(ciphertext, &[]).map_err(|_| Problem::WrongKey)?);
        let mut answer = Answer { key: Zeroizing::new([0; 16]), nonce: [0; 12] };
        let exported = context.export(ANSWER_KEY, &mut answer.key[..]);
        exported.and_then(|()| context.export(ANSWER_NONCE, &mut answer.nonce)).map_err(|_| Problem::WrongKey)?;
        let mut rest = &opened[..];
        let session = take(&mut rest)?;
        let ticket = take(&mut rest)?;
        let deposit = DepositId { owner: Owner(take(&mut rest)?), version: take(&mut rest)? };
        let (dealer, servers) = (take(&mut rest)?, take(&mut rest)?);
        let dealer = Some(dealer).filter(|dealer| *dealer != NO_DEALER);
        let addresses = (0..party).map(|_| address(take(&mut rest)?)).collect::<Result<_, _>>()?;
        Ok((Self { session, deposit, dealer, servers, addresses, opened, answer }, Ticket(ticket)))
    }
}

/// The address in its field, if there is one.
fn address(field: [u8; ADDRESS_BYTES]) -> Result<Option<String>, Problem> {
    let mut text = &field[..];
    let length = usize::from(u16::from_le_bytes(take(&mut text)?));
    let (text, zeros) = text.split_at_checked(length).ok_or(Problem::Address)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(Problem::Address);
    }
    let text = std::str::from_utf8(text).map_err(|_| Problem::Address)?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Problem> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Problem::Length)?;
    *bytes = rest;
    Ok(*taken)
}

/// Seals the one answer to a request.
pub(crate) struct Answer {
    key: Zeroizing<[u8; 16]>,
    nonce: [u8; 12],
}

impl Answer {
    /// Seals the answer; there is no second one.
    pub(crate) fn seal(self, answer: &[u8]) -> Result<Vec<u8>, Problem> {
        let key = UnboundKey::new(&AES_128_GCM, &self.key[..]).map_err(|_| Problem::Internal)?;
        let mut sealed = Vec::with_capacity(answer.len() + TAG_BYTES);
        sealed.extend_from_slice(answer);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let done = LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed);
        done.map(|()| sealed).map_err(|_| Problem::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> KeyPair {
        KeyPair::of(&Identity::generate("server", 1).unwrap())
    }

    fn seal(key: WebKey, opened: &[u8]) -> Vec<u8> {
        let public = <Suite as Kem>::PublicKey::from_bytes(&key.0).unwrap();
        let mut generator = mpc_shares::Prg::new(mpc_shares::Seed::from_system().unwrap());
        let (encapsulated, mut context) = hpke::setup_sender_with_rng::<AesGcm128, HkdfSha256, Suite>(
            &hpke::OpModeS::Base,
            &public,
            REQUEST,
            &mut generator,
        )
        .unwrap();
        [encapsulated.to_bytes().to_vec(), context.seal(opened, &[]).unwrap()].concat()
    }

    #[test]
    fn the_server_that_a_request_is_sealed_to_alone_opens_it() {
        let [server, other] = [server(), server()];
        let plain: Vec<u8> = (0..HEADER_BYTES + 5).map(|at| at as u8).collect();
        let sealed = seal(server.public, &plain);
        assert_eq!(sealed.len(), Posted::sealed_bytes(0, 5));
        let (posted, ticket) = Posted::open(&server, 0, &sealed).unwrap();
        assert_eq!((&posted.session[..], posted.share()), (&plain[..16], &plain[HEADER_BYTES..]));
        assert_eq!(&ticket.0[..], &plain[16..16 + TICKET_BYTES]);
        assert!(matches!(Posted::open(&other, 0, &sealed), Err(Problem::WrongKey)));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(Posted::open(&server, 0, &changed).is_err(), "byte {at}");
        }
        for len in 0..ENCAPSULATED_BYTES + TAG_BYTES + 1 {
            assert!(Posted::open(&server, 0, &sealed[..len]).is_err(), "{len} bytes");
        }
        assert!(matches!(Posted::open(&server, 0, &seal(server.public, &plain[..40])), Err(Problem::Length)));
    }

    #[test]
    fn addresses_of_the_servers_before_are_read_or_refused() {
        let server = server();
        let field = |text: &[u8], length: u16| {
            let mut field = [&length.to_le_bytes()[..], text].concat();
            field.resize(ADDRESS_BYTES, 0);
            field
        };
        let open = |fields: &[Vec<u8>]| {
            let plain = [vec![7; HEADER_BYTES], fields.concat(), b"share".to_vec()].concat();
            Posted::open(&server, fields.len(), &seal(server.public, &plain)).map(|(posted, _)| posted)
        };
        let longest = "a".repeat(MAX_ADDRESS_BYTES);
        let right = [field(b"a.example:7700", 14), field(b"", 0), field(longest.as_bytes(), 260)];
        let posted = open(&right).unwrap();
        assert_eq!(posted.addresses, [Some("a.example:7700".to_owned()), None, Some(longest)]);
        assert_eq!(posted.share(), b"share");
        for wrong in [field(b"a", 0), field(b"ab", 1), field(b"a", 261), field(b"a", u16::MAX), field(&[0xff], 1)] {
            assert!(matches!(open(&[field(b"", 0), wrong]), Err(Problem::Address)));
        }
        let short = seal(server.public, &[7; HEADER_BYTES + ADDRESS_BYTES - 1]);
        assert!(matches!(Posted::open(&server, 1, &short), Err(Problem::Length)));
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let sealed = [[0; 32].to_vec(), vec![7; HEADER_BYTES]].concat();
        assert!(matches!(Posted::open(&server(), 0, &sealed), Err(Problem::WrongKey)));
    }
}
