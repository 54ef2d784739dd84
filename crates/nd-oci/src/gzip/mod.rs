//! gzip on several cores: members of a fixed length that say how long they are.
//!
//! A gzip file may consist of several members (RFC 1952, section 2.2), and every reader takes them
//! one after the other. Ours carry their packed length in an extra field, so that a reader that
//! knows it can unpack them beside each other; any other reader skips the field. The length of
//! members is fixed, so that equal input gives equal bytes on any machine.

mod ahead;
mod member;
mod read;
mod write;

pub(crate) use read::GzipReader;
pub(crate) use write::GzipWriter;

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};

    use super::{member::MEMBER, *};

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * n / 7) as u8).collect()
    }

    fn pack(bytes: &[u8], part: usize) -> Vec<u8> {
        let mut out = GzipWriter::new(Vec::new()).unwrap();
        for part in bytes.chunks(part) {
            out.write_all(part).unwrap();
        }
        out.finish().unwrap()
    }

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        GzipReader::new(bytes).read_to_end(&mut back).map(|_| back)
    }

    #[test]
    fn any_length_comes_back_and_the_parts_written_do_not_matter() {
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 12 * MEMBER + 7] {
            let bytes = sample(length);
            let packed = pack(&bytes, 1000);
            assert_eq!(packed, pack(&bytes, 3 * MEMBER + 1), "{length}");
            assert!(unpack(&packed).unwrap() == bytes, "{length}");
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&packed[..])
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == bytes, "{length}");
        }
    }

    #[test]
    fn members_of_other_writers_are_read_before_between_and_after_ours() {
        let other = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let (a, b) = (sample(5000), sample(2 * MEMBER + 9));
        let (ours, theirs) = (pack(&b, 1 << 16), other(&a));
        assert!(unpack(&theirs).unwrap() == a);
        assert!(unpack(&[&ours[..], &theirs].concat()).unwrap() == [&b[..], &a].concat());
        assert!(unpack(&[&theirs[..], &ours].concat()).unwrap() == [&a[..], &b].concat());
    }

    #[test]
    fn what_is_cut_changed_or_lies_about_its_length_is_an_error() {
        let packed = pack(&sample(3 * MEMBER), MEMBER);
        for cut in [1, 15, 30, packed.len() / 2, packed.len() - 1] {
            assert!(unpack(&packed[..cut]).is_err(), "cut at {cut}");
        }
        for at in [0, 16, 18, 40, packed.len() - 8, packed.len() - 2] {
            let mut changed = packed.clone();
            changed[at] ^= 1;
            assert!(unpack(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = GzipWriter::new(Full).unwrap();
        let error = out
            .write_all(&vec![1; 40 * MEMBER])
            .and_then(|()| out.finish().map(|_| ()))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
