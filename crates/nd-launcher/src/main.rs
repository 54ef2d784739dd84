//! The launcher: installed under the name of every command of a container, it becomes the
//! runtime's call for it by `exec`, or enters the image itself and becomes the command.
//!
//! There is no `main` of Rust's: its start-up ignores SIGPIPE and opens closed standard streams,
//! which the command would inherit. Nothing is read of the command line, which belongs to the command.
#![no_main]

mod enter;

use std::{
    ffi::{CStr, CString, OsStr, OsString, c_char, c_int},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use nd_launcher::{
    Demand, Files as _, Form, HostFiles, Kind, LAUNCH_FILE, LAUNCHER_PROGRAM, LaunchFile, Note,
    PlanError, Policy, RuntimeChoice, SITE_POLICY, STATUS_BROKEN, STATUS_CANNOT_EXECUTE,
    STATUS_NOT_FOUND, Start, Text, VERBOSE_VARIABLE, What, find_command, own_account, plan,
    plan_native, read_file,
};
use rustix::{
    fs::{Mode, OFlags, open, readlink},
    io::Errno,
    process::getcwd,
};

/// What the C library calls after its own start.
///
/// # Safety
///
/// `argv` must be an array of `argc` C strings, as the C library gives it.
#[expect(
    unsafe_code,
    reason = "the symbol that the C library calls, see the page's first lines"
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let count = usize::try_from(argc).unwrap_or(0);
    let mut arguments = Vec::with_capacity(count);
    for at in 0..count {
        // SAFETY: the caller's promise; the strings live as long as the process.
        arguments.push(OsStr::from_bytes(
            unsafe { CStr::from_ptr(*argv.add(at)) }.to_bytes(),
        ));
    }
    let environment = environment();
    if let Some(status) = enter::play_role(&arguments, environment.len()) {
        return status;
    }
    if let [_, verb] = arguments[..]
        && verb == "probe"
        && started().file_name() == Some(OsStr::new(LAUNCHER_PROGRAM))
    {
        return probe();
    }
    match start(&arguments, &environment) {
        Ok(never) => match never {},
        Err((status, text)) => {
            say(b"error", text.as_bytes());
            status
        }
    }
}

/// The variables of this process, in their order and without copies.
#[expect(unsafe_code, reason = "the standard library copies every variable")]
fn environment() -> Vec<(&'static OsStr, &'static OsStr)> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut found = Vec::with_capacity(128);
    // SAFETY: the C library set it to an array that ends with a null pointer; this process has one thread and
    // changes no variable, so the strings stay as they are until `exec`.
    let mut entry = unsafe { environ };
    if entry.is_null() {
        return found;
    }
    loop {
        // SAFETY: not beyond the null pointer at the end.
        let text = unsafe { *entry };
        if text.is_null() {
            return found;
        }
        // SAFETY: a C string, see above.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        if let Some(at) = bytes.iter().position(|byte| *byte == b'=') {
            found.push((
                OsStr::from_bytes(&bytes[..at]),
                OsStr::from_bytes(&bytes[at + 1..]),
            ));
        }
        // SAFETY: one after an entry that is not the last.
        entry = unsafe { entry.add(1) };
    }
}

/// What cannot be.
enum Never {}

type Failed = (c_int, String);

fn start(arguments: &[&OsStr], environment: &[(&OsStr, &OsStr)]) -> Result<Never, Failed> {
    let broken = |text: String| (STATUS_BROKEN, text);
    let files = HostFiles;
    let own = readlink("/proc/self/exe", Vec::new())
        .ok()
        .map(|path| PathBuf::from(OsString::from_vec(path.into_bytes())));
    let started = started();
    let found = find_command(Some(started), own.as_deref(), &files);
    let asked = match &found {
        Some(found) => Asked {
            folder: &found.folder,
            what: What::Command(&found.name),
            arguments: arguments.get(1..).unwrap_or_default(),
            runtime: None,
        },
        None if started.file_name() == Some(OsStr::new(LAUNCHER_PROGRAM)) => {
            Asked::parse(arguments)?
        }
        None => {
            return Err(broken(format!(
                "there is no `{LAUNCH_FILE}` beside `{}`, which says what to run",
                started.display()
            )));
        }
    };
    let path = asked.folder.join(LAUNCH_FILE);
    let bytes = read_file(&path)
        .map_err(|errno| broken(format!("cannot read `{}`: {errno}", path.display())))?;
    let launch = LaunchFile::parse(&bytes)
        .map_err(|error| broken(format!("`{}`: {error}", path.display())))?;
    let mut texts: Vec<(PathBuf, Vec<u8>)> = Vec::with_capacity(2);
    let own_policy = launch
        .policy
        .as_ref()
        .map(|policy| asked.folder.join(&**policy));
    for path in std::iter::once(PathBuf::from(SITE_POLICY)).chain(own_policy) {
        match read_file(&path) {
            Ok(bytes) => texts.push((path, bytes)),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(broken(format!("cannot read `{}`: {errno}", path.display()))),
        }
    }
    let mut policy = Policy::default();
    for (path, bytes) in &texts {
        policy
            .read_more(bytes)
            .map_err(|error| broken(format!("`{}`: {error}", path.display())))?;
    }
    if let Some(runtime) = asked.runtime {
        policy
            .choose(runtime)
            .map_err(|error| broken(error.to_string()))?;
    }
    let cwd = getcwd(Vec::new())
        .ok()
        .map(|path| PathBuf::from(OsString::from_vec(path.into_bytes())))
        // "(unreachable)…": outside of this process's root.
        .filter(|path| path.is_absolute());
    let start = Start {
        launch: &launch,
        folder: asked.folder,
        policy: &policy,
        environment,
        cwd: cwd.as_deref(),
        what: asked.what,
        arguments: asked.arguments,
    };
    let checked = checked(&start)?;
    let refusal = if policy.runtime == RuntimeChoice::Native {
        Some(start_natively(&start, checked.as_ref())?)
    } else {
        None
    };
    let mut call = plan(&start, &files).map_err(|error| {
        let text = match (&refusal, &error) {
            (Some(refusal), PlanError::NoRuntime { .. }) => {
                format!("cannot start without a runtime: {refusal}; and {error}")
            }
            _ => error.to_string(),
        };
        (error.status(), text)
    })?;
    if let Some(refusal) = refusal
        && environment
            .iter()
            .any(|(name, _)| *name == VERBOSE_VARIABLE)
    {
        let text = format!("left to `{}`: {refusal}", call.program.display());
        say(b"note", text.as_bytes());
    }
    let depth = depth(&call.program, environment).map_err(broken)?;
    call.set.extend(depth);
    say_notes(&call.notes);
    let errno = execute(&call, environment);
    let status = if errno == Errno::NOENT {
        STATUS_NOT_FOUND
    } else {
        STATUS_CANNOT_EXECUTE
    };
    Err((
        status,
        format!("cannot execute `{}`: {errno}", call.program.display()),
    ))
}

/// The path that was given to `execve`.
fn started() -> &'static Path {
    Path::new(OsStr::from_bytes(rustix::param::linux_execfn().to_bytes()))
}

/// Says on standard output what starts without a runtime need, and whether this machine allows it; the
/// status is 0 when it allows all.
fn probe() -> c_int {
    let mut text = Vec::new();
    let mut status = 0;
    for (what, result) in enter::probe() {
        let line = match result {
            Ok(()) => format!("yes: {what}\n"),
            Err(refusal) => {
                status = 1;
                format!("no: {what}: {refusal}\n")
            }
        };
        text.extend_from_slice(line.as_bytes());
    }
    let _ = rustix::io::write(rustix::stdio::stdout(), &text);
    status
}

/// What is asked for.
struct Asked<'a> {
    folder: &'a Path,
    what: What<'a>,
    arguments: &'a [&'a OsStr],
    runtime: Option<RuntimeChoice<'a>>,
}

impl<'a> Asked<'a> {
    /// What programs ask for who start the launcher by its own name: `nd-launcher exec RUNTIME FOLDER
    /// PROGRAM [ARGUMENT]...` or `nd-launcher shell RUNTIME FOLDER`, with the runtime as in a policy.
    fn parse(arguments: &'a [&'a OsStr]) -> Result<Self, Failed> {
        let usage = || {
            (
                STATUS_BROKEN,
                format!(
                    "`{LAUNCHER_PROGRAM}` is started under the name of a command; programs call \
                     `{LAUNCHER_PROGRAM} exec RUNTIME FOLDER PROGRAM [ARGUMENT]...`, `{LAUNCHER_PROGRAM} shell RUNTIME \
                     FOLDER` or `{LAUNCHER_PROGRAM} probe`"
                ),
            )
        };
        let [_, verb, runtime, folder, words @ ..] = arguments else {
            return Err(usage());
        };
        let (what, arguments) = match (verb.as_bytes(), words) {
            (b"exec", [program, arguments @ ..]) => (What::Program(program), arguments),
            (b"shell", []) => (What::Shell, words),
            _ => return Err(usage()),
        };
        let runtime = RuntimeChoice::parse(Text::Borrowed(runtime)).ok_or_else(usage)?;
        let folder = Path::new(folder);
        if !folder.is_absolute() {
            return Err(usage());
        }
        Ok(Self {
            folder,
            what,
            arguments,
            runtime: Some(runtime),
        })
    }
}

/// The image file, where the policy demands its digest.
fn checked(start: &Start<'_>) -> Result<Option<enter::Checked>, Failed> {
    let launch = start.launch;
    let image = start.folder.join(&*launch.image);
    let folder = launch.form == Form::Folder && HostFiles.kind(&image) == Some(Kind::Folder);
    let (false, false, Some(recorded)) = (
        start.policy.demand_digest == Demand::Nothing,
        folder,
        launch.sha256.as_deref(),
    ) else {
        // The plan says whether it may start nevertheless.
        return Ok(None);
    };
    let runtime = start
        .environment
        .iter()
        .find(|(name, _)| *name == "XDG_RUNTIME_DIR")
        .map(|(_, value)| Path::new(value));
    match enter::check(&image, recorded.as_bytes(), runtime) {
        Ok(checked) => Ok(Some(checked)),
        Err(wrong) => Err((STATUS_BROKEN, format!("`{}`: {wrong}", image.display()))),
    }
}

/// Becomes the command without a runtime; returns why not, with this process as it was before.
fn start_natively(start: &Start<'_>, checked: Option<&enter::Checked>) -> Result<String, Failed> {
    let Some(account) = own_account(&enter::ask_names) else {
        return Ok("nothing knows a name and a home for this account".to_owned());
    };
    let plan = match plan_native(start, &account, &HostFiles) {
        Ok(Ok(plan)) => plan,
        Ok(Err(unfit)) => return Ok(unfit.to_string()),
        Err(error) => return Err((error.status(), error.to_string())),
    };
    let ready = match enter::prepare(&plan, checked) {
        Ok(ready) => ready,
        Err(refusal) => return Ok(refusal.to_string()),
    };
    say_notes(&plan.notes);
    match ready.enter() {
        Err(refusal) => Ok(refusal.to_string()),
        Ok(error) => Err((
            STATUS_CANNOT_EXECUTE,
            format!("cannot execute `{}`: {error}", plan.program.display()),
        )),
    }
}

/// How often a launcher may start below another one before that is taken for a circle.
const DEPTH: u32 = 8;
/// Counts launchers below each other, where the runtime is a script.
const DEPTH_VARIABLE: &str = "NEURODESK_LAUNCHER_DEPTH";

/// A runtime that is a script looks for programs on `PATH`. When one of those is a wrapper, it starts the
/// runtime again, and so on until the machine is full; so the launchers count each other.
fn depth(
    program: &Path,
    environment: &[(&OsStr, &OsStr)],
) -> Result<Option<(OsString, OsString)>, String> {
    if !is_script(program) {
        return Ok(None);
    }
    let depth = environment
        .iter()
        .find(|(name, _)| *name == DEPTH_VARIABLE)
        .and_then(|(_, value)| value.to_str()?.parse::<u32>().ok())
        .unwrap_or(0);
    if depth >= DEPTH {
        return Err(format!(
            "the runtime `{}` is a script that calls commands of this container; take the container off `PATH` \
             or name the real program in the policy",
            program.display()
        ));
    }
    Ok(Some((
        DEPTH_VARIABLE.into(),
        (depth + 1).to_string().into(),
    )))
}

fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    open(program, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::read(&file, &mut start))
        .is_ok()
        && start == *b"#!"
}

/// Becomes the call; returns only when that failed.
#[expect(unsafe_code, reason = "exec has no safe wrapper")]
fn execute(call: &nd_launcher::Call, inherited: &[(&OsStr, &OsStr)]) -> Errno {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::INVAL);
    let texts = || -> Result<_, Errno> {
        let program = text(call.program.as_os_str().as_bytes())?;
        let argv: Vec<CString> = call
            .argv
            .iter()
            .map(|word| text(word.as_bytes()))
            .collect::<Result<_, _>>()?;
        let variables: Vec<CString> = call
            .environment(inherited)
            .into_iter()
            .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        Ok((program, argv, variables))
    };
    let (program, argv, variables) = match texts() {
        Ok(texts) => texts,
        Err(errno) => return errno,
    };
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        texts
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, variables) = (pointers(&argv), pointers(&variables));
    // SAFETY: arrays that end with a null pointer, of C strings that outlive the call.
    unsafe {
        libc::execve(program.as_ptr(), argv.as_ptr(), variables.as_ptr());
    }
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn say_notes(notes: &[Note]) {
    for note in notes {
        say(b"warning", note.to_string().as_bytes());
    }
}

/// One line on standard error; what cannot be said is lost.
fn say(kind: &[u8], text: &[u8]) {
    let line = [b"neurodesk: ".as_slice(), kind, b": ", text, b"\n"].concat();
    let _ = rustix::io::write(rustix::stdio::stderr(), &line);
}
