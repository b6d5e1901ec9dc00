//! Ring elements and bit vectors as dense little-endian bit strings.
//!
//! Only the bits that carry information travel: 40-bit masked values take five bytes each, bits an eighth of a byte.

use crate::ring::{Ring, read_all, write_all};

/// The number of bytes that `count` elements of `bits` bits take: ⌈count · bits / 8⌉.
///
/// # Panics
/// If the number of bits overflows `usize`.
#[must_use]
pub const fn packed_len(count: usize, bits: u32) -> usize {
    match count.checked_mul(bits as usize) {
        Some(total) => total.div_ceil(8),
        None => panic!("the packed length overflows usize"),
    }
}

/// Writes the lowest `bits` bits of element i to the bits i · `bits`.. of a little-endian bit string. Unused bits of the
/// last byte are zero.
///
/// ```
/// let mut bytes = [0; 3];
/// mpc_ring::packing::pack(&[0xabcu64, 0xf123], 12, &mut bytes);
/// assert_eq!(bytes, [0xbc, 0x3a, 0x12]);
/// ```
///
/// # Panics
/// If `bits` is outside 1..=ℓ or `bytes.len() != packed_len(elements.len(), bits)`.
pub fn pack<R: Ring>(elements: &[R], bits: u32, bytes: &mut [u8]) {
    check::<R>(elements.len(), bits, bytes.len());
    if bits == R::BITS {
        write_all(elements, bytes);
    } else if bits == 32 {
        for (element, chunk) in elements.iter().zip(bytes.as_chunks_mut::<4>().0) {
            *chunk = (element.low_u64() as u32).to_le_bytes();
        }
    } else if bits.is_multiple_of(8) {
        pack_bytes(elements, bits, bytes);
    } else {
        pack_bits(elements, bits, bytes);
    }
}

/// Reads `elements.len()` elements of `bits` bits that [`pack`] wrote; their upper bits become zero. Unused bits of the
/// last byte are ignored.
///
/// # Panics
/// If `bits` is outside 1..=ℓ or `bytes.len() != packed_len(elements.len(), bits)`.
pub fn unpack<R: Ring>(bytes: &[u8], bits: u32, elements: &mut [R]) {
    check::<R>(elements.len(), bits, bytes.len());
    if bits == R::BITS {
        read_all(bytes, elements);
    } else if bits == 32 {
        for (element, chunk) in elements.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *element = R::from_u64(u64::from(u32::from_le_bytes(*chunk)));
        }
    } else if bits.is_multiple_of(8) {
        unpack_bytes(bytes, bits, elements);
    } else {
        unpack_bits(bytes, bits, elements);
    }
}

/// The number of 64-bit words that hold `bits` bits.
#[must_use]
pub const fn words_for(bits: usize) -> usize {
    bits.div_ceil(64)
}

/// Writes the first `bit_count` bits of `words`, bit i being bit i % 64 of word i / 64; unused bits of the last byte are
/// zero.
///
/// # Panics
/// If `words.len() != words_for(bit_count)` or `bytes.len()` is not ⌈bit_count / 8⌉.
pub fn pack_words(words: &[u64], bit_count: usize, bytes: &mut [u8]) {
    assert_eq!(words.len(), words_for(bit_count), "words for {bit_count} bits");
    assert_eq!(bytes.len(), bit_count.div_ceil(8), "bytes for {bit_count} bits");
    for (word, chunk) in words.iter().zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    if let (Some(last), used @ 1..) = (bytes.last_mut(), bit_count % 8) {
        *last &= (1 << used) - 1;
    }
}

/// Reads `bit_count` bits that [`pack_words`] wrote. Bits beyond them are ignored in `bytes` and zero in `words`.
///
/// # Panics
/// If `words.len() != words_for(bit_count)` or `bytes.len()` is not ⌈bit_count / 8⌉.
pub fn unpack_words(bytes: &[u8], bit_count: usize, words: &mut [u64]) {
    assert_eq!(words.len(), words_for(bit_count), "words for {bit_count} bits");
    assert_eq!(bytes.len(), bit_count.div_ceil(8), "bytes for {bit_count} bits");
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        *word = read_word(chunk);
    }
    if let (Some(last), used @ 1..) = (words.last_mut(), bit_count % 64) {
        *last &= (1 << used) - 1;
    }
}

fn check<R: Ring>(count: usize, bits: u32, bytes: usize) {
    assert!((1..=R::BITS).contains(&bits), "between 1 and {} bits an element", R::BITS);
    assert_eq!(bytes, packed_len(count, bits), "bytes for {count} elements of {bits} bits");
}

/// `bits` is a multiple of 8.
fn pack_bytes<R: Ring>(elements: &[R], bits: u32, bytes: &mut [u8]) {
    match bits / 8 {
        1 => pack_width::<R, 1>(elements, bytes),
        2 => pack_width::<R, 2>(elements, bytes),
        3 => pack_width::<R, 3>(elements, bytes),
        5 => pack_width::<R, 5>(elements, bytes),
        6 => pack_width::<R, 6>(elements, bytes),
        7 => pack_width::<R, 7>(elements, bytes),
        width => {
            for (element, chunk) in elements.iter().zip(bytes.chunks_exact_mut(width as usize)) {
                chunk.copy_from_slice(&element.to_u128().to_le_bytes()[..chunk.len()]);
            }
        }
    }
}

/// Elements whose bytes are written or read without a check for each: they fill words.
const GROUP: usize = 8;

/// Writes `W` ≤ 8 bytes an element.
fn pack_width<R: Ring, const W: usize>(elements: &[R], bytes: &mut [u8]) {
    let (groups, rest) = elements.as_chunks::<GROUP>();
    let mut chunks = bytes.chunks_exact_mut(GROUP * W);
    for (group, chunk) in groups.iter().zip(chunks.by_ref()) {
        for (index, element) in group.iter().enumerate() {
            let encoded = element.low_u64().to_le_bytes();
            // As long as there is room, the next element overwrites what is too much.
            let written = if index * W + 8 <= GROUP * W { 8 } else { W };
            chunk[index * W..][..written].copy_from_slice(&encoded[..written]);
        }
    }
    for (element, chunk) in rest.iter().zip(chunks.into_remainder().chunks_exact_mut(W)) {
        chunk.copy_from_slice(&element.low_u64().to_le_bytes()[..W]);
    }
}

/// `bits` is a multiple of 8.
fn unpack_bytes<R: Ring>(bytes: &[u8], bits: u32, elements: &mut [R]) {
    match bits / 8 {
        1 => unpack_width::<R, 1>(bytes, elements),
        2 => unpack_width::<R, 2>(bytes, elements),
        3 => unpack_width::<R, 3>(bytes, elements),
        5 => unpack_width::<R, 5>(bytes, elements),
        6 => unpack_width::<R, 6>(bytes, elements),
        7 => unpack_width::<R, 7>(bytes, elements),
        width => {
            for (element, chunk) in elements.iter_mut().zip(bytes.chunks_exact(width as usize)) {
                *element = R::from_u128(u128::from_le_bytes(zero_extended(chunk)));
            }
        }
    }
}

/// Reads `W` ≤ 8 bytes an element.
fn unpack_width<R: Ring, const W: usize>(bytes: &[u8], elements: &mut [R]) {
    let mask = u64::low_mask(8 * W as u32);
    let (groups, rest) = elements.as_chunks_mut::<GROUP>();
    let chunks = bytes.chunks_exact(GROUP * W);
    let last = chunks.remainder();
    for (group, chunk) in groups.iter_mut().zip(chunks) {
        for (index, element) in group.iter_mut().enumerate() {
            // The last ones are the upper bytes of the last word.
            let start = (index * W).min(GROUP * W - 8);
            let word = read_word(&chunk[start..]) >> (8 * (index * W - start));
            *element = R::from_u64(word & mask);
        }
    }
    for (element, chunk) in rest.iter_mut().zip(last.chunks_exact(W)) {
        *element = R::from_u64(u64::from_le_bytes(zero_extended(chunk)));
    }
}

fn pack_bits<R: Ring>(elements: &[R], bits: u32, bytes: &mut [u8]) {
    let mut writer = BitWriter { bytes, pending: 0, filled: 0 };
    let (low, high) = halves(bits);
    for element in elements {
        writer.push(element.low_u64() & u64::low_mask(low), low);
        if high > 0 {
            writer.push((element.to_u128() >> 64) as u64 & u64::low_mask(high), high);
        }
    }
    writer.finish();
}

fn unpack_bits<R: Ring>(bytes: &[u8], bits: u32, elements: &mut [R]) {
    // Wherever it starts in its first byte, such an element lies within eight bytes.
    if bits <= 57 {
        unpack_windows(bytes, bits, elements);
    } else {
        unpack_stream(bytes, bits, elements);
    }
}

fn unpack_windows<R: Ring>(bytes: &[u8], bits: u32, elements: &mut [R]) {
    let mask = u64::low_mask(bits);
    for (index, element) in elements.iter_mut().enumerate() {
        let position = index * bits as usize;
        *element = R::from_u64(read_word(&bytes[position / 8..]) >> (position % 8) & mask);
    }
}

fn unpack_stream<R: Ring>(bytes: &[u8], bits: u32, elements: &mut [R]) {
    let mut reader = BitReader { bytes, pending: 0, filled: 0 };
    let (low, high) = halves(bits);
    for element in elements {
        let value = reader.pull(low);
        *element = if high == 0 {
            R::from_u64(value)
        } else {
            R::from_u128(u128::from(value) | u128::from(reader.pull(high)) << 64)
        };
    }
}

/// `bits` split into the part within the first 64 and the rest.
fn halves(bits: u32) -> (u32, u32) {
    (bits.min(64), bits.saturating_sub(64))
}

/// The little-endian word of the first eight bytes, or of all of them followed by zeros.
#[inline(always)]
fn read_word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_else(|| zero_extended(bytes)))
}

/// At most `N` bytes, followed by zeros.
fn zero_extended<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut buffer = [0; N];
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer
}

/// Collects bits and writes them word by word.
struct BitWriter<'a> {
    bytes: &'a mut [u8],
    pending: u128,
    /// The number of pending bits, below 64 between calls.
    filled: u32,
}

impl BitWriter<'_> {
    /// Appends a value below 2^`bits`, for `bits` ≤ 64.
    #[inline(always)]
    fn push(&mut self, value: u64, bits: u32) {
        self.pending |= u128::from(value) << self.filled;
        self.filled += bits;
        if self.filled >= 64 {
            let (word, rest) = core::mem::take(&mut self.bytes).split_at_mut(8);
            word.copy_from_slice(&(self.pending as u64).to_le_bytes());
            self.bytes = rest;
            self.pending >>= 64;
            self.filled -= 64;
        }
    }

    fn finish(self) {
        self.bytes.copy_from_slice(&(self.pending as u64).to_le_bytes()[..self.bytes.len()]);
    }
}

/// Reads bits word by word.
struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u128,
    /// The number of pending bits, below 64 between calls.
    filled: u32,
}

impl BitReader<'_> {
    /// Takes the next `bits` ≤ 64 bits.
    #[inline(always)]
    fn pull(&mut self, bits: u32) -> u64 {
        if self.filled < bits {
            let (word, rest) = self.bytes.split_at(self.bytes.len().min(8));
            self.pending |= u128::from(read_word(word)) << self.filled;
            self.bytes = rest;
            self.filled += 64;
        }
        let value = self.pending as u64 & u64::low_mask(bits);
        self.pending >>= bits;
        self.filled -= bits;
        value
    }
}
