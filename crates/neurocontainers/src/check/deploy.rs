//! The deploy check: what a container promises exists, can be run by anybody, and finds its
//! interpreter and libraries. Nothing is run; the tree is read as the kernel and the loader would.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use nd_names::Sha256;
use nd_records::{TestCase, TestReport, TestStatus};
use nd_rootfs::{
    ContentSink, Contents, ContentsError, Entry, Found, Index, Kind, Location, TreePath, Wanted,
    show,
};

use super::{elf, libraries::Libraries};

/// The suite's name in reports.
pub const SUITE: &str = "deploy";
/// Files examined per `DEPLOY_PATH` directory.
const MAX_FILES: usize = 200;
/// A larger program is not read.
const ELF_LIMIT: u64 = 1 << 30;
/// As much of a script as its first line may take.
const SCRIPT_LIMIT: u64 = 4096;
/// Search path where an image sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Checks a tree against the environment of its image: `DEPLOY_BINS`, `DEPLOY_PATH`, `PATH`,
/// `LD_LIBRARY_PATH`. `declared` says whether the recipe promises anything at all: then nothing to
/// check is a failure.
pub fn deploy_check(
    index: &Index,
    contents: &mut dyn Contents,
    env: &[(String, String)],
    declared: bool,
    tree: &str,
) -> Result<TestReport, ContentsError> {
    let mut check = Check {
        index,
        report: TestReport::new(SUITE, "static", tree),
        objects: BTreeMap::new(),
        path: value(env, "PATH").unwrap_or(DEFAULT_PATH).to_owned(),
    };
    let mut roots = check.roots(env, declared);
    // What is found needs more files; each round reads those that the last one asked for.
    let mut libraries = Libraries::new(value(env, "LD_LIBRARY_PATH").unwrap_or_default());
    let cache = index.resolve(b"etc/ld.so.cache", true).ok();
    if let Some(entry) = cache.and_then(Found::entry)
        && let Some(object) = read_one(contents, entry)?
    {
        libraries.add_cache(&object);
    }
    loop {
        let mut wanted: BTreeSet<TreePath> = BTreeSet::new();
        for root in &roots {
            check.closure(root, &libraries, &mut wanted, &mut Vec::new());
        }
        wanted.retain(|path| !check.objects.contains_key(path));
        if wanted.is_empty() {
            break;
        }
        check.read(contents, wanted)?;
    }
    roots.sort();
    roots.dedup();
    for root in &roots {
        let mut problems = Vec::new();
        check.closure(root, &libraries, &mut BTreeSet::new(), &mut problems);
        check.linkage(root, problems);
    }
    Ok(check.report)
}

/// What a file turned out to be.
enum Object {
    Elf(elf::Elf),
    /// Interpreter and its arguments.
    Script(Vec<Vec<u8>>),
    Other,
}

struct Check<'a> {
    index: &'a Index,
    report: TestReport,
    objects: BTreeMap<TreePath, Object>,
    path: String,
}

fn value<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = env.iter().rev().find(|(key, _)| key == name)?;
    Some(found.1.as_str()).filter(|value| !value.is_empty())
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(':').filter(|item| !item.is_empty())
}

fn executable(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File { .. }) && entry.attr.mode & 0o111 != 0
}

impl Check<'_> {
    fn case(&mut self, name: String, status: TestStatus, message: String) {
        self.report.cases.push(TestCase {
            name,
            status,
            message,
            seconds: 0.0,
            stdout: String::new(),
            stderr: String::new(),
        });
    }

    /// Finds what is promised and gives the files behind it.
    fn roots(&mut self, env: &[(String, String)], declared: bool) -> Vec<TreePath> {
        let bins = value(env, "DEPLOY_BINS").unwrap_or_default().to_owned();
        let paths = value(env, "DEPLOY_PATH").unwrap_or_default().to_owned();
        if bins.is_empty() && paths.is_empty() {
            let (status, message) = if declared {
                (
                    TestStatus::Failed,
                    "the recipe has a `deploy` section, the image has neither `DEPLOY_BINS` nor `DEPLOY_PATH`",
                )
            } else {
                (TestStatus::Skipped, "the image promises no commands")
            };
            self.case("deploy".into(), status, message.into());
        }
        let mut roots = Vec::new();
        for bin in items(&bins) {
            let name = format!("deploy_bin:{bin}");
            if let Some(path) = self.find(bin) {
                let message = format!("found at /{path}");
                self.case(name, TestStatus::Passed, message);
                roots.extend(self.file(&path));
            } else {
                let message = format!("`{bin}` is not found on PATH");
                self.case(name, TestStatus::Failed, message);
            }
        }
        for dir in items(&paths) {
            roots.extend(self.directory(dir));
        }
        roots
    }

    /// A command as a shell finds it.
    fn find(&self, bin: &str) -> Option<TreePath> {
        let is_file = |path: &[u8]| {
            let found = self.index.resolve(path, true).ok()?.entry()?;
            matches!(found.kind, Kind::File { .. }).then_some(())?;
            TreePath::clean(path).ok()?
        };
        if bin.starts_with(['/', '.']) {
            return is_file(bin.as_bytes());
        }
        items(&self.path).find_map(|dir| is_file(format!("{dir}/{bin}").as_bytes()))
    }

    fn directory(&mut self, dir: &str) -> Vec<TreePath> {
        let name = format!("deploy_dir:{dir}");
        let found = match self.index.resolve(dir.as_bytes(), true) {
            Ok(found) if found.is_dir() => found,
            _ => {
                self.case(
                    name,
                    TestStatus::Failed,
                    format!("there is no directory `{dir}`"),
                );
                return Vec::new();
            }
        };
        let real = found
            .entry()
            .map_or_else(Vec::new, |e| e.path.as_bytes().to_vec());
        let open = found
            .entry()
            .is_none_or(|entry| entry.attr.mode & 0o001 != 0);
        match self.closed_parent(dir.as_bytes(), &real) {
            None if open => {}
            None => {
                let message = format!("`{dir}` is closed to other users");
                self.case(
                    format!("directory.access.arbitrary_user:{dir}"),
                    TestStatus::Failed,
                    message,
                );
            }
            Some(parent) => {
                let message = format!("`/{parent}` is closed to other users");
                self.case(format!("path.access:{dir}"), TestStatus::Failed, message);
            }
        }
        let mut roots = Vec::new();
        let mut count = 0;
        let children: Vec<TreePath> = self
            .index
            .children(&real)
            .map(|entry| entry.path.clone())
            .collect();
        for path in children {
            let target = self.index.resolve(path.as_bytes(), true);
            if !matches!(target, Ok(Found::Entry(entry)) if executable(entry)) {
                continue;
            }
            if count == MAX_FILES {
                let message = format!("only {MAX_FILES} files are examined");
                self.case(
                    format!("deploy_dir.limit:{dir}"),
                    TestStatus::Skipped,
                    message,
                );
                break;
            }
            count += 1;
            roots.extend(self.file(&path));
        }
        self.case(
            name,
            TestStatus::Passed,
            format!("{count} executable files"),
        );
        roots
    }

    /// Whether anybody can run the file; gives the file behind links.
    fn file(&mut self, path: &TreePath) -> Option<TreePath> {
        let entry = self
            .index
            .resolve(path.as_bytes(), true)
            .ok()?
            .entry()?
            .clone();
        let shown = format!("/{path}");
        if !executable(&entry) {
            let message = format!("`{shown}` is not executable");
            self.case(
                format!("file.executable:{shown}"),
                TestStatus::Failed,
                message,
            );
            return None;
        }
        if let Some(parent) = self.closed_parent(path.as_bytes(), entry.path.as_bytes()) {
            let message = format!("`/{parent}` is closed to other users");
            self.case(format!("path.access:{shown}"), TestStatus::Failed, message);
        }
        if entry.attr.mode & 0o005 != 0o005 {
            let message = format!(
                "`/{}` has mode {:04o}: other users cannot read and run it",
                entry.path, entry.attr.mode
            );
            self.case(
                format!("file.access.arbitrary_user:{shown}"),
                TestStatus::Failed,
                message,
            );
        }
        Some(entry.path)
    }

    /// The first directory on the way to a path or its target that other users cannot pass.
    fn closed_parent(&self, path: &[u8], target: &[u8]) -> Option<String> {
        [path, target].iter().find_map(|path| {
            let path = TreePath::clean(path).ok()??;
            let dirs: Vec<Vec<u8>> = path.ancestors().map(<[u8]>::to_vec).collect();
            dirs.into_iter().find_map(|dir| {
                let entry = self.index.resolve(&dir, true).ok()?.entry()?;
                (entry.attr.mode & 0o001 == 0).then(|| entry.path.to_string())
            })
        })
    }

    /// Walks what `root` needs as far as it is known: unread files go to `wanted`, what is missing
    /// to `problems` with its name.
    fn closure(
        &self,
        root: &TreePath,
        libraries: &Libraries,
        wanted: &mut BTreeSet<TreePath>,
        problems: &mut Vec<(String, String)>,
    ) {
        let mut pending = vec![root.clone()];
        let mut seen: BTreeSet<TreePath> = BTreeSet::new();
        // The program that the files at hand are loaded for: its `DT_RPATH` counts for all of them.
        let mut program: Option<&elf::Elf> = None;
        while let Some(path) = pending.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            match self.objects.get(&path) {
                None => {
                    wanted.insert(path);
                }
                Some(Object::Other) => {}
                Some(Object::Script(words)) => match self.interpreter(words) {
                    Ok(next) => pending.extend(next),
                    Err(name) => problems.push((
                        format!("script.interpreter:/{path}:{name}"),
                        format!("`/{path}` needs `{name}`, which is not there"),
                    )),
                },
                Some(Object::Elf(elf)) => {
                    if elf.interpreter.is_some() || program.is_none() {
                        program = Some(elf);
                    }
                    let mut need = |name: &[u8], found: Option<TreePath>| match found {
                        Some(next) => pending.push(next),
                        None => problems.push((
                            format!("ldd:/{path}:{}", show(name)),
                            format!("`/{path}` needs `{}`, which is not found", show(name)),
                        )),
                    };
                    if let Some(interpreter) = &elf.interpreter {
                        need(interpreter, self.real(interpreter));
                    }
                    for name in &elf.needed {
                        let found = libraries.find(name, elf, program, &path, |candidate| {
                            self.real(candidate).filter(|found| self.fits(found, elf))
                        });
                        need(name, found);
                    }
                }
            }
        }
    }

    /// A file by its path, links followed.
    fn real(&self, path: &[u8]) -> Option<TreePath> {
        let entry = self.index.resolve(path, true).ok()?.entry()?;
        matches!(entry.kind, Kind::File { .. }).then(|| entry.path.clone())
    }

    /// Whether a library can be loaded by `elf`, as far as that is known.
    fn fits(&self, path: &TreePath, elf: &elf::Elf) -> bool {
        match self.objects.get(path) {
            Some(Object::Elf(found)) => found.kind == elf.kind,
            Some(_) => false,
            None => true,
        }
    }

    /// The files that a script's first line needs, or what is missing.
    fn interpreter(&self, words: &[Vec<u8>]) -> Result<Vec<TreePath>, String> {
        let first = words.first().ok_or("an interpreter")?;
        let mut out = vec![self.real(first).ok_or_else(|| show(first))?];
        if first.rsplit(|b| *b == b'/').next() == Some(b"env") {
            // `env` runs the first argument that is neither an option nor an assignment.
            let program = words[1..]
                .iter()
                .find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
            if let Some(program) = program {
                let text = String::from_utf8_lossy(program);
                let found = self.find(&text).and_then(|path| self.real(path.as_bytes()));
                out.push(found.ok_or_else(|| show(program))?);
            }
        }
        Ok(out)
    }

    fn read(
        &mut self,
        contents: &mut dyn Contents,
        paths: BTreeSet<TreePath>,
    ) -> Result<(), ContentsError> {
        let mut wanted = Wanted::default();
        let mut places: BTreeMap<Location, Vec<TreePath>> = BTreeMap::new();
        for path in paths {
            match self.index.get(&path).map(|entry| &entry.kind) {
                Some(Kind::File { size, content, at }) => {
                    wanted.insert(*at, *size, *content);
                    places.entry(*at).or_default().push(path);
                }
                _ => {
                    self.objects.insert(path, Object::Other);
                }
            }
        }
        let mut sink = Starts { found: Vec::new() };
        contents.visit(&wanted, &mut sink)?;
        for (at, start) in sink.found {
            for path in places.remove(&at).unwrap_or_default() {
                self.objects.insert(path, classify(&start));
            }
        }
        for path in places.into_values().flatten() {
            self.objects.insert(path, Object::Other);
        }
        Ok(())
    }

    /// One case per file: what it is linked with, or each thing that is missing.
    fn linkage(&mut self, path: &TreePath, problems: Vec<(String, String)>) {
        if problems.is_empty() {
            let message = match self.objects.get(path) {
                Some(Object::Elf(elf)) if elf.interpreter.is_none() && elf.needed.is_empty() => {
                    "statically linked"
                }
                Some(Object::Elf(_)) => "finds its loader and libraries",
                Some(Object::Script(_)) => "finds its interpreter",
                _ => {
                    let message = "neither a program nor a script".to_owned();
                    self.case(format!("file.type:/{path}"), TestStatus::Skipped, message);
                    return;
                }
            };
            self.case(
                format!("file.linkage:/{path}"),
                TestStatus::Passed,
                message.into(),
            );
        }
        for (name, message) in problems {
            self.case(name, TestStatus::Failed, message);
        }
    }
}

fn classify(start: &[u8]) -> Object {
    if let Some(elf) = elf::parse(start) {
        return Object::Elf(elf);
    }
    let Some(line) = start.strip_prefix(b"#!") else {
        return Object::Other;
    };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    Object::Script(words.map(<[u8]>::to_vec).collect())
}

/// Reads programs whole and the start of everything else.
struct Starts {
    found: Vec<(Location, Vec<u8>)>,
}

impl ContentSink for Starts {
    fn file(
        &mut self,
        at: Location,
        size: u64,
        _content: &Sha256,
        bytes: &mut dyn Read,
    ) -> std::io::Result<()> {
        let mut out = Vec::new();
        bytes.take(SCRIPT_LIMIT).read_to_end(&mut out)?;
        if elf::is_elf(&out) && size <= ELF_LIMIT {
            bytes.read_to_end(&mut out)?;
        }
        self.found.push((at, out));
        Ok(())
    }
}

fn read_one(contents: &mut dyn Contents, entry: &Entry) -> Result<Option<Vec<u8>>, ContentsError> {
    struct Whole(Option<Vec<u8>>);
    impl ContentSink for Whole {
        fn file(
            &mut self,
            _at: Location,
            _size: u64,
            _content: &Sha256,
            bytes: &mut dyn Read,
        ) -> std::io::Result<()> {
            let mut out = Vec::new();
            bytes.take(ELF_LIMIT).read_to_end(&mut out)?;
            self.0 = Some(out);
            Ok(())
        }
    }
    let Kind::File { size, content, at } = entry.kind else {
        return Ok(None);
    };
    let mut wanted = Wanted::default();
    wanted.insert(at, size, content);
    let mut sink = Whole(None);
    contents.visit(&wanted, &mut sink)?;
    Ok(sink.0)
}
