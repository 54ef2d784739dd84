//! Round trips, unfinished files, damaged files; no program of others.

use std::io::Write as _;

use nd_sif::{DataType, Descriptor, Extra, LAUNCH, Link, ObjectSpec, PartType, Sif, SifError};
use nd_squashfs::WriteOptions;
use proptest::prelude::*;

use crate::support::*;

use DataType::{DefFile, Generic, GenericJson, Partition};

fn open(bytes: &[u8]) -> Result<Sif, SifError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Sif::open(file)
}

#[test]
fn what_is_written_is_read() {
    let bytes = packed(b"no program");
    assert!(bytes.starts_with(LAUNCH.as_bytes()));
    assert_eq!(packed(b"no program"), bytes, "equal input, equal bytes");
    let sif = open(&bytes).unwrap();
    assert_eq!(sif.header().free, 43);
    assert_eq!(sif.header().created, 1_700_000_000);
    assert_eq!(sif.header().id.get_version_num(), 4);
    let kinds: Vec<_> = sif.descriptors().iter().map(|one| one.data).collect();
    assert_eq!(
        kinds,
        [Partition, DefFile, GenericJson, GenericJson, Generic]
    );
    let mut end = 32_176;
    for one in sif.descriptors() {
        assert_eq!((one.group, one.link), (Some(1), Link::None));
        assert_eq!(one.offset + one.size, end + one.size_with_padding);
        end = one.offset + one.size;
    }
    assert_eq!(end, bytes.len() as u64);
    let system = sif.primary_partition().unwrap();
    assert_eq!(
        (system.id, system.offset, system.size % 4096),
        (1, 32_768, 0)
    );
    let json = sif.find(GenericJson, "tree.json").unwrap();
    assert_eq!(sif.read(json, 100).unwrap(), b"{\"version\": 1}");
    assert!(matches!(
        sif.read(json, 5),
        Err(SifError::TooLong { id: 4, .. })
    ));
    assert!(!sif.is_signed());
    assert!(sif.find(Generic, "nothing").is_none());
}

#[test]
fn an_unfinished_file_is_none() {
    let whole = packed(b"no program").len() as u64;
    // Bytes are counted as written: the superblock of squashfs, descriptors, the header come again.
    let written = whole + 96 + 5 * 585 + 128;
    pack(
        b"no program",
        &WriteOptions::default(),
        &mut Full(std::io::Cursor::default(), written),
    )
    .unwrap();
    for most in (0..written).step_by(301).chain([written - 1]) {
        let mut out = Full(std::io::Cursor::default(), most);
        pack(b"no program", &WriteOptions::default(), &mut out).unwrap_err();
        assert!(matches!(open(&out.0.into_inner()), Err(SifError::NotSif)));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let options = nd_sif::SifOptions {
        architecture: nd_names::Architecture::Aarch64,
        id: nd_sif::Uuid::nil(),
        time: 0,
    };
    let mut out = std::io::Cursor::new(Vec::new());
    let mut sif = nd_sif::SifWriter::new(&mut out, options).unwrap();
    for name in ["n".repeat(128), "a\0b".to_owned()] {
        let spec = ObjectSpec::new(DataType::Generic, name);
        assert!(matches!(sif.put(spec, b""), Err(SifError::Name(_))));
    }
    for number in 1..=48 {
        let spec = ObjectSpec::new(DataType::Generic, "n".repeat(127));
        assert_eq!(sif.put(spec, b"x").unwrap(), number);
    }
    let one_more = sif.put(ObjectSpec::new(DataType::Generic, ""), b"");
    assert!(matches!(one_more, Err(SifError::TooMany(48))));
    sif.finish().unwrap();
    let sif = open(&out.into_inner()).unwrap();
    assert_eq!((sif.descriptors().len(), sif.header().free), (48, 0));
}

#[test]
fn damage_of_a_table_is_named() {
    let bytes = packed(b"no program");
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        open(&bytes).unwrap_err().to_string()
    };
    // Descriptor 2 starts at 4681: type 4, used 1, number 4, group 4, link 4, offset 8, size 8.
    let second = 4096 + 585;
    for (at, value, said) in [
        (32, &b"X"[..], "no SIF file"),
        (42, b"02", "version `02`"),
        (88, &[0xff; 8], "number of descriptors"),
        (
            96,
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            "descriptors lie outside",
        ),
        (96, &[1, 0, 0, 0, 0, 0, 0, 0], "descriptors lie outside"),
        (second + 5, &[0; 4], "no number"),
        (second + 5, &[1, 0, 0, 0], "object 1 stands twice"),
        (second + 17, &[0xff; 8], "object 2 has a negative place"),
        (
            second + 25,
            &[0, 0, 0, 0, 0, 0, 0, 1],
            "object 2 lies outside",
        ),
    ] {
        let error = with(at, value);
        assert!(error.contains(said), "{error} is not {said}");
    }
    for length in [0, 127, 4096, 20_000, bytes.len() - 1] {
        assert!(open(&bytes[..length]).is_err());
    }
}

fn shape(sif: &Sif) -> Vec<(u32, u64, u64)> {
    let shape = |one: &Descriptor| (one.id, one.offset, one.size);
    sif.descriptors().iter().map(shape).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((0_usize..128 + 6 * 585, 0_u8..8), 1..5)) {
        let mut bytes = packed(b"no program");
        for (at, bit) in flips {
            let at = if at < 128 { at } else { at - 128 + 4096 };
            bytes[at] ^= 1 << bit;
        }
        if let Ok(sif) = open(&bytes) {
            for (_, offset, size) in shape(&sif) {
                prop_assert!(offset + size <= bytes.len() as u64);
            }
            for one in sif.descriptors() {
                let _ = sif.read(one, 1 << 20);
                if let Extra::Partition { part, .. } = one.extra {
                    prop_assert!(part != PartType::PrimarySystem || sif.primary_partition().is_some());
                }
            }
        }
    }
}
