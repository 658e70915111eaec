//! Where a block of lines ends.

use memchr::memchr2;

/// Looks for the blank line that ends a block, over any number of reads.
///
/// Lines end with LF, CR LF or CR. A blank line that ends with CR might be a CR LF of which the LF is still to come, so
/// the end is known with the byte behind it; only where the line before ended with a CR alone, it is taken for another
/// such CR at once. So the blocks are the same however the bytes are cut, and no event waits for the next one.
#[derive(Debug)]
pub(super) struct Scan {
    /// Nothing of the current line has been seen.
    line_empty: bool,
    /// The last byte was a CR, which ended a line.
    after_cr: bool,
    /// That line was the blank one.
    ending: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self { line_empty: true, after_cr: false, ending: false }
    }
}

impl Scan {
    /// How many of these bytes belong to the current block, if it ends in them.
    pub(super) fn block_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.ending {
                *self = Self::default();
                return Some(if byte == b'\n' { at + 1 } else { at });
            }
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' if self.line_empty => {
                    *self = Self::default();
                    return Some(at + 1);
                }
                b'\r' if self.line_empty && self.after_cr => {
                    *self = Self::default();
                    return Some(at + 1);
                }
                b'\n' => self.line_empty = true,
                b'\r' => {
                    self.ending = self.line_empty;
                    self.line_empty = true;
                    self.after_cr = true;
                }
                _ => {
                    self.line_empty = false;
                    self.after_cr = false;
                    at += line_len(&bytes[at..]);
                    continue;
                }
            }
            at += 1;
        }
        None
    }

    /// Whether the last byte ended a line, or there was none.
    pub(super) fn line_ended(&self) -> bool {
        self.line_empty
    }
}

/// How many bytes there are before the next line end.
pub(super) fn line_len(bytes: &[u8]) -> usize {
    memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len())
}
