//! The identity of a tree that exists nowhere but here.

use nd_rootfs::{Attr, Entry, Index, IndexError, Kind, TreePath, digests};

fn main() -> Result<(), IndexError> {
    let Ok(path) = TreePath::new("opt") else {
        std::process::exit(1);
    };
    let entry = Entry {
        path,
        attr: Attr::new(0o755),
        kind: Kind::Dir { implicit: false },
        group: None,
    };
    let index = Index::from_entries(vec![entry])?;
    println!("{}", digests(&index).tree);
    Ok(())
}
