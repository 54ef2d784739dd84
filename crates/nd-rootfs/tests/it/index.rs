//! Order, parents, lookup and resolution.

use nd_rootfs::{Index, IndexError, Kind, PathError, ResolveError, TreePath};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn hostile_paths_are_refused_or_cleaned() {
    assert_eq!(
        TreePath::clean(b"./a//b/./c/")
            .unwrap()
            .unwrap()
            .to_string(),
        "a/b/c"
    );
    assert_eq!(TreePath::clean(b"/./").unwrap(), None);
    assert!(matches!(
        TreePath::clean(b"a/../b"),
        Err(PathError::Parent(_))
    ));
    assert!(matches!(TreePath::clean(b"a\0b"), Err(PathError::Nul(_))));
    assert!(matches!(TreePath::new("a/"), Err(PathError::NotNormal(_))));
    assert!(matches!(
        TreePath::new("x".repeat(256)),
        Err(PathError::LongName(_))
    ));
    assert!(matches!(
        TreePath::clean(&b"x/".repeat(2100)),
        Err(PathError::Long(_))
    ));
}

#[test]
fn parents_are_added_and_files_have_no_children() {
    let tree = index(vec![file("a/b/c", b""), file("a-b", b"")]);
    let names: Vec<_> = tree.iter().map(|e| e.path.to_string()).collect();
    assert_eq!(names, ["a", "a/b", "a/b/c", "a-b"]);
    assert_eq!(tree.get("a").unwrap().kind, Kind::Dir { implicit: true });
    let bad = Index::from_entries(vec![file("a", b""), file("a/b", b"")]);
    assert!(
        matches!(bad, Err(IndexError::NotADirectory { .. })),
        "{bad:?}"
    );
    let bad = Index::from_entries(vec![file("a", b""), dir("a")]);
    assert!(matches!(bad, Err(IndexError::Duplicate(_))), "{bad:?}");
    let top: Vec<_> = tree.children(b"").map(|e| e.path.to_string()).collect();
    assert_eq!(top, ["a", "a-b"]);
}

#[test]
fn symlinks_are_followed_inside_the_root_only() {
    let tree = index(vec![
        file("usr/bin/sh", b""),
        link("bin", "usr/bin"),
        link("usr/lib", "/../../usr/bin"),
        link("usr/loop", "loop"),
        link("sh", "bin/../../usr/lib/sh"),
    ]);
    let found = |path: &str| {
        tree.resolve(path.as_bytes(), true)
            .map(|f| f.entry().map(|e| e.path.to_string()))
    };
    assert_eq!(found("/bin/sh"), Ok(Some("usr/bin/sh".into())));
    assert_eq!(found("bin/../../.."), Ok(None));
    assert_eq!(found("usr/lib/sh"), Ok(Some("usr/bin/sh".into())));
    assert!(matches!(
        found("usr/loop"),
        Err(ResolveError::TooManyLinks(_))
    ));
    assert!(matches!(
        found("bin/sh/x"),
        Err(ResolveError::NotADirectory(_))
    ));
    assert!(matches!(found("bin/no"), Err(ResolveError::NotFound(_))));
    let last = tree.resolve(b"bin", false).unwrap().entry().unwrap();
    assert!(matches!(last.kind, Kind::Symlink { .. }));
}

proptest! {
    #[test]
    fn children_of_all_directories_are_all_entries(tree in tree()) {
        let mut names: Vec<_> = tree.children(b"").map(|e| e.path.clone()).collect();
        for dir in tree.iter().filter(|e| e.kind.is_dir()) {
            names.extend(tree.children(dir.path.as_bytes()).map(|e| e.path.clone()));
        }
        names.sort();
        let all: Vec<_> = tree.iter().map(|e| e.path.clone()).collect();
        prop_assert_eq!(names, all);
    }
}
