//! Bytes on their way, without allocation for each message.

/// A queue of bytes: added at the end, taken from the front.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], start: 0, end: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Takes the first bytes out.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = self.end.min(self.start.saturating_add(bytes));
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Everything that is free.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.move_to_front();
        &mut self.bytes[self.end..]
    }

    /// The first bytes of the space are filled now.
    pub(super) fn add(&mut self, bytes: usize) {
        self.end = self.bytes.len().min(self.end.saturating_add(bytes));
    }

    /// Makes room for so many bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.move_to_front();
        let needed = self.end.saturating_add(bytes);
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.reserve(bytes.len());
            self.bytes[self.end..][..bytes.len()].copy_from_slice(bytes);
            self.end += bytes.len();
        }
    }

    fn move_to_front(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }
}

/// Where bytes go: a header, then a message.
#[derive(Debug, Default)]
pub(super) struct Sink<'a> {
    header: &'a mut [u8],
    message: &'a mut [u8],
    taken: usize,
}

impl<'a> Sink<'a> {
    pub(super) fn new(header: &'a mut [u8], message: &'a mut [u8]) -> Self {
        Self { header, message, taken: 0 }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken == self.header.len() + self.message.len()
    }

    /// Takes what it has room for; returns the rest.
    pub(super) fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let beyond_header = self.taken.saturating_sub(self.header.len());
        let within_header = self.taken - beyond_header;
        let mut rest = bytes;
        for place in [&mut self.header[within_header..], &mut self.message[beyond_header..]] {
            let (now, later) = rest.split_at(rest.len().min(place.len()));
            place[..now.len()].copy_from_slice(now);
            self.taken += now.len();
            rest = later;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_a_queue() {
        let mut buffer = Buffer::with_capacity(4);
        buffer.extend(&[1, 2, 3]);
        buffer.consume(2);
        assert_eq!(buffer.space().len(), 3);
        buffer.extend(&[4, 5, 6, 7]);
        assert_eq!(buffer.filled(), [3, 4, 5, 6, 7]);
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_sink_fills_the_header_first() {
        let (mut header, mut message) = ([0; 3], [0; 4]);
        let mut sink = Sink::new(&mut header, &mut message);
        assert_eq!(sink.take(&[1, 2]), []);
        assert_eq!(sink.take(&[3, 4, 5]), []);
        assert!(!sink.is_full());
        assert_eq!(sink.take(&[6, 7, 8, 9]), [8, 9]);
        assert!(sink.is_full());
        assert_eq!((header, message), ([1, 2, 3], [4, 5, 6, 7]));
    }
}
