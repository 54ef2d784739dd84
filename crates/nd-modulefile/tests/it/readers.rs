//! Load, unload, swap, spider and avail; and text that only looks like code.

use std::fmt::Write as _;

use nd_modulefile::{Additions, Module, Variable, Versions};

use crate::reader::{Reader, readers};

fn module(reader: &Reader, version: &str) -> Module {
    let name = format!("abc_{version}_20240131");
    let folder = reader.folder(&format!("a prefix/{name}"), "mk");
    let mut module = Module::new(name.parse().unwrap(), folder);
    module.help = format!("This is abc {version}.");
    module.about.description = Some("makes things".into());
    module.commands = vec!["mk".into(), "odd\"'$(x)[y]{z".into()];
    module
}

#[test]
fn load_unload_and_swap_do_and_undo() {
    for reader in readers() {
        let mut one = module(&reader, "1.0");
        one.variables = vec![
            Variable::from_line("DEPLOY_ENV_ABCDIR=BASEPATH/opt/abc").unwrap(),
            Variable::from_line("DEPLOY_ENV_OPTS=-a=1 \"q\" 'r' $HOME `id` $(id) [exit] \\ {")
                .unwrap(),
        ];
        reader.put(&one);
        reader.put(&module(&reader, "2.0"));
        let image = format!("{}/opt/abc", one.image_path());
        reader.says(
            "m load abc/1.0; mk; echo \"<$ABCDIR>\"",
            &format!("<{image}>"),
        );
        reader.says("m load abc/1.0; mk", "mk of a prefix/abc_1.0_20240131");
        reader.says(
            "m load abc/1.0; printf '<%s>' \"$OPTS\"",
            "<-a=1 \"q\" 'r' $HOME `id` $(id) [exit] \\ {>",
        );
        reader.says(
            "m load abc/1.0; m unload abc/1.0; echo \"<$PATH|${ABCDIR-unset}>\"",
            "</usr/local/bin:/usr/bin:/bin|unset>",
        );
        reader.says(
            "m load abc/1.0; m swap abc/1.0 abc/2.0; mk; echo \"<$LOADEDMODULES>\"",
            "<abc/2.0>",
        );
        reader.says(
            "m load abc/1.0; m swap abc abc/2.0; mk",
            "mk of a prefix/abc_2.0_20240131",
        );
        // Never both at once.
        let both = reader.run("m load abc/1.0; m load abc/2.0; echo \"<$LOADEDMODULES>\"");
        assert!(
            both.contains("<abc/1.0>") || both.contains("<abc/2.0>"),
            "{both}"
        );
    }
}

#[test]
fn avail_help_whatis_and_spider_tell() {
    for reader in readers() {
        reader.put(&module(&reader, "1.0"));
        reader.says("m avail 2>&1", "abc/1.0");
        reader.says("m help abc/1.0 2>&1", "This is abc 1.0.");
        reader.says("m whatis abc/1.0 2>&1", "abc_1.0_20240131.simg");
        reader.says("m whatis abc/1.0 2>&1", "Description: makes things");
        if reader.is_lmod() {
            reader.says("m spider abc 2>&1", "abc/1.0");
            reader.says("m spider mk 2>&1", "mk/1.0");
            reader.says("m load abc; m list 2>&1", "abc/1.0");
        }
    }
}

#[test]
fn defaults_and_hidden_versions_are_as_said() {
    for reader in readers() {
        for version in ["1.0", "2.0", "3.0", "4.0"] {
            reader.put(&module(&reader, version));
        }
        reader.says("m load abc; mk", "mk of a prefix/abc_4.0_20240131");
        let mut versions = Versions::new("abc".parse().unwrap());
        versions.default = Some("2.0".parse().unwrap());
        versions.hidden.insert("3.0".parse().unwrap());
        reader.put_versions(&versions);
        reader.says("m load abc; mk", "mk of a prefix/abc_2.0_20240131");
        reader.says("m load abc/3.0; mk", "mk of a prefix/abc_3.0_20240131");
        let shown = reader.run("m avail 2>&1");
        assert!(
            shown.contains("abc/1.0") && shown.contains("abc/4.0"),
            "{shown}"
        );
        assert!(!shown.contains("abc/3.0"), "{shown}");
    }
}

#[test]
fn conflicts_and_a_sites_own_lines_count() {
    for reader in readers() {
        let mut one = module(&reader, "1.0");
        one.conflicts = vec!["other".into()];
        one.additions = Additions {
            lua: Some(
                "prepend_path(\"SINGULARITY_BINDPATH\", \"/tmp:/toolVersion\", \",\")".into(),
            ),
            tcl: Some("prepend-path -d , SINGULARITY_BINDPATH /tmp:/toolVersion".into()),
        };
        reader.put(&one);
        let folder = reader.folder("other", "x");
        reader.put(&Module::new("other_1_20240131".parse().unwrap(), folder));
        reader.says(
            "m load abc/1.0; echo \"<$SINGULARITY_BINDPATH>\"",
            "</tmp:/1.0>",
        );
        reader.says(
            "m load other; m load abc; echo \"<$LOADEDMODULES>\"",
            "<other/1>",
        );
    }
}

/// Text that ends every kind of quotation and then makes a file.
const HOSTILE: &[&str] = &[
    "]===])\nos.execute(\"touch ran\")\nhelp([===[",
    "]])os.execute('touch ran')--[[",
    "]=])os.execute('touch ran')--[=[ ]==] ]====]",
    "\"\nexec touch ran\nputs \"",
    "}\nexec touch ran\nproc x {} {",
    "[exec touch ran] $env(HOME) \\[exec touch ran]",
    "{ { {\n} } } }\n\\",
    "\\\nexec touch ran",
    "`touch ran` $(touch ran) '; touch ran; '",
    "\"; touch ran; \"",
    "\u{1b}]0;x\u{7} \0 \r\nexec touch ran",
    "set x [exec touch ran]; eval {exec touch ran}",
    "#%Module\nexec touch ran",
];

#[test]
fn text_from_images_stays_text() {
    let whole = HOSTILE.join("\n");
    let texts: Vec<&str> = HOSTILE.iter().copied().chain([whole.as_str()]).collect();
    for reader in readers() {
        let mut lines = String::from("m avail 2>&1; m whatis abc 2>&1\n");
        let mut values = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let mut module = module(&reader, &number.to_string());
            (*text).clone_into(&mut module.help);
            module.about.description = Some((*text).to_owned());
            module.about.url = Some((*text).to_owned());
            module.about.categories = vec![(*text).to_owned()];
            module
                .commands
                .push(text.replace([',', '/', ' ', '\n'], ""));
            module.conflicts = vec![(*text).to_owned()];
            let value: String = text.chars().filter(|c| !c.is_control()).collect();
            module.variables = vec![Variable::new("V", &value).unwrap()];
            values.push(value);
            reader.put(&module);
            let _ = writeln!(
                lines,
                "m help abc/{number} 2>&1; m load abc/{number}; mk; printf '<{number}:%s>' \"$V\"; m unload abc/{number}"
            );
        }
        lines.push_str("echo \"<$PATH>\"\n");
        if reader.is_lmod() {
            lines.push_str("m spider 2>&1\n");
        }
        let said = reader.run(&lines);
        for (number, value) in values.iter().enumerate() {
            let line = format!("mk of a prefix/abc_{number}_20240131");
            assert!(said.contains(&line), "{line}: {said}");
            assert!(
                said.contains(&format!("<{number}:{value}>")),
                "{number}: {said}"
            );
        }
        assert!(said.contains("</usr/local/bin:/usr/bin:/bin>"), "{said}");
        let left = fs_err::read_dir(reader.root.path().join("work")).unwrap();
        assert_eq!(left.count(), 0, "something ran: {said}");
    }
}

#[test]
fn the_cache_of_lmod_holds_text_alone() {
    let Some(lua) = nd_testkit::peer("lua5.3") else {
        return;
    };
    for reader in readers().iter().filter(|reader| reader.is_lmod()) {
        let mut module = module(reader, "1.0");
        module.help = HOSTILE.join("\n");
        module.about.description = Some(HOSTILE.join(" "));
        reader.put(&module);
        let said = reader.run(&format!(
            "\"${{PROGRAM%/lmod}}/spider\" -o spiderT \"$MODULEPATH\" > ../cache.lua && '{}' -e 'dofile(\"../cache.lua\") print(spiderT.version and \"<read>\")'",
            lua.display()
        ));
        assert!(said.contains("<read>"), "{said}");
        let left = fs_err::read_dir(reader.root.path().join("work"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "{said}");
        assert!(
            fs_err::read_to_string(reader.root.path().join("cache.lua"))
                .unwrap()
                .contains("abc/1.0")
        );
    }
}
