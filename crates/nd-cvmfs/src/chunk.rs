//! Where big files are cut: a push parser that sees each byte once and holds none.

/// Sizes that decide about cuts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    min: u32,
    avg: u32,
    max: u32,
}

impl Default for ChunkSizes {
    /// 4, 8 and 16 MiB.
    fn default() -> Self {
        Self {
            min: 4 << 20,
            avg: 8 << 20,
            max: 16 << 20,
        }
    }
}

impl ChunkSizes {
    /// Sizes; `None` unless 32 <= `min` < `avg` < `max`.
    pub fn new(min: u32, avg: u32, max: u32) -> Option<Self> {
        (32 <= min && min < avg && avg < max).then_some(Self { min, avg, max })
    }

    /// The largest piece, in bytes.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// No file of this many bytes or fewer is ever cut.
    pub fn min(&self) -> u32 {
        self.min
    }
}

/// Finds the cuts of one file whose bytes are pushed in any portions.
#[derive(Debug, Clone)]
pub struct Chunker {
    sizes: ChunkSizes,
    threshold: i32,
    /// Bytes since the last cut.
    length: u32,
    state: u32,
}

/// As many bytes as have an effect on the state.
const WINDOW: u32 = 32;

impl Chunker {
    /// Nothing seen yet.
    pub fn new(sizes: ChunkSizes) -> Self {
        Self {
            sizes,
            threshold: (u32::MAX / sizes.avg) as i32,
            length: 0,
            state: 0,
        }
    }

    /// Takes bytes up to the next cut: gives how many of `bytes` belong to the current piece, and
    /// whether the piece ends there. Without a cut all bytes are taken.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.length < self.sizes.min - WINDOW {
                // Bytes that cannot have an effect are skipped.
                let skip = (self.sizes.min - WINDOW - self.length) as usize;
                let skip = skip.min(bytes.len() - at);
                self.length += skip as u32;
                at += skip;
                continue;
            }
            if self.length == self.sizes.max {
                return self.cut(at);
            }
            let state = (self.state << 1) ^ u32::from(bytes[at]);
            if self.length >= self.sizes.min {
                let distance = (state as i32).wrapping_sub(i32::MAX).wrapping_abs();
                if distance < self.threshold {
                    return self.cut(at);
                }
            }
            self.state = state;
            self.length += 1;
            at += 1;
        }
        (at, false)
    }

    fn cut(&mut self, at: usize) -> (usize, bool) {
        self.length = 0;
        self.state = 0;
        (at, true)
    }
}

#[cfg(test)]
mod tests {
    //! Portions do not matter, sizes hold.

    use proptest::prelude::*;

    use super::*;

    fn cuts(sizes: ChunkSizes, portions: &[&[u8]]) -> Vec<usize> {
        let mut chunker = Chunker::new(sizes);
        let (mut out, mut offset) = (Vec::new(), 0);
        for portion in portions {
            let mut rest = *portion;
            while !rest.is_empty() {
                let (taken, cut) = chunker.push(rest);
                offset += taken;
                rest = &rest[taken..];
                if cut {
                    out.push(offset);
                }
            }
        }
        out
    }

    /// The rule of the format description, word by word, on a whole file.
    fn reference(sizes: ChunkSizes, bytes: &[u8]) -> Vec<usize> {
        let (min, max) = (sizes.min as usize, sizes.max as usize);
        let threshold = i64::from(u32::MAX / sizes.avg);
        let (mut out, mut last) = (Vec::new(), 0);
        'file: loop {
            let mut x: u32 = 0;
            let mut i = last + min - 32;
            while i < bytes.len() {
                if i == last + max {
                    out.push(i);
                    last = i;
                    continue 'file;
                }
                x = (x << 1) ^ u32::from(bytes[i]);
                let difference = (x as i32).wrapping_sub(2_147_483_647).wrapping_abs();
                if i >= last + min && i64::from(difference) < threshold {
                    out.push(i);
                    last = i;
                    continue 'file;
                }
                i += 1;
            }
            return out;
        }
    }

    proptest! {
        #[test]
        fn cuts_are_those_of_the_rule_for_any_portions(
            bytes in prop::collection::vec(any::<u8>(), 0..4000),
            portion in 1usize..500,
        ) {
            let sizes = ChunkSizes::new(64, 100, 400).unwrap();
            let expected = reference(sizes, &bytes);
            let portions: Vec<&[u8]> = bytes.chunks(portion).collect();
            prop_assert_eq!(cuts(sizes, &portions), expected);
        }
    }

    #[test]
    fn files_without_marks_are_cut_at_the_limit_and_never_at_their_end() {
        let sizes = ChunkSizes::new(64, 1 << 20, 2 << 20).unwrap();
        let zeros = vec![0; 6 << 20];
        assert_eq!(cuts(sizes, &[&zeros]), [2 << 20, 4 << 20]);
        assert_eq!(cuts(sizes, &[&zeros[..2 << 20]]), [0usize; 0]);
        assert_eq!(ChunkSizes::new(31, 64, 128), None);
        assert_eq!(ChunkSizes::new(64, 64, 128), None);
    }
}
