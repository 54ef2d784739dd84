//! The mtree list.

use nd_rootfs::{digests, parse_list, write_list};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn a_list_reads_as_expected() {
    let tree = index(vec![
        dir("a b"),
        with(file(b"a b/\xff#=\\", b"x"), |e| e.attr.mtime = 5),
        link("l", "t t"),
    ]);
    let list = String::from_utf8(write_list(&tree, &digests(&tree))).unwrap();
    let lines: Vec<_> = list.lines().skip(4).collect();
    assert_eq!(
        lines,
        [
            "./a\\040b type=dir mode=0755 uid=0 gid=0 time=0.0",
            "./a\\040b/\\377\\043\\075\\134 type=file mode=0644 uid=0 gid=0 time=5.0 size=1 \
         sha256digest=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            "./l type=link mode=0777 uid=0 gid=0 time=0.0 link=t\\040t",
        ]
    );
}

proptest! {
    #[test]
    fn list_and_digests_survive_a_round_trip(tree in tree()) {
        let list = write_list(&tree, &digests(&tree));
        let read = parse_list(&list).unwrap();
        prop_assert_eq!(digests(&read), digests(&tree));
        prop_assert_eq!(write_list(&read, &digests(&read)), list);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = parse_list(&[b"#mtree\n./a type=file ", &bytes[..]].concat());
    }
}
