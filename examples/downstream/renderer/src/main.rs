//! What a template for installing Convert3D becomes, without any network, process or clock.

use indexmap::IndexMap;
use neurodocker::{Argument, Call, Strictness, Templates};

fn main() {
    let arguments = IndexMap::from([("version".to_owned(), Argument::from("1.0.0"))]);
    let call = Call {
        name: "convert3d",
        arguments: &arguments,
        package_manager: "apt",
        architecture: "x86_64",
        strictness: Strictness::Strict,
    };
    match Templates::new().expand(&call) {
        Ok(expansion) => println!("{} instructions", expansion.ops.len()),
        Err(problems) => {
            eprintln!("{problems:?}");
            std::process::exit(1);
        }
    }
}
