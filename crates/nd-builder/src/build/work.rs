//! One piece of work in an engine process, seen from outside.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read as _, Seek as _},
    os::fd::OwnedFd,
    sync::mpsc::{RecvTimeoutError, channel},
    time::Duration,
};

use nd_oci::Compression;
use nd_report::Cancel;
use nd_rootfs::LayerIndex;
use nd_sandbox::{Emulator, EngineOptions, EngineProcess, IdMode, Limits};
use nd_store::{NewTree, Store, decode_layer_index};

use super::{
    LayerBudget,
    error::{BuildError, EngineFailure},
};
use crate::{
    engine::{
        ROLE,
        message::{Done, Ended, Job, Message, Reply, Request},
    },
    plan::compression_word,
    secret::Veil,
};

/// Lines of output that an error carries.
const TAIL: usize = 20;

/// How often a wish to stop is looked for.
const POLL: Duration = Duration::from_millis(50);

/// What every piece of work needs.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ids: IdMode,
    /// Who runs the scripts of another architecture.
    pub(crate) emulator: Option<&'a Emulator>,
    pub(crate) cancel: &'a Cancel,
    /// What a layer that is unpacked may hold.
    pub(crate) budget: LayerBudget,
    /// Bytes that stay free on the disk of the store.
    pub(crate) reserve: Option<u64>,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(store: &'a Store, ids: IdMode, cancel: &'a Cancel) -> Self {
        Self {
            store,
            ids,
            emulator: None,
            cancel,
            budget: LayerBudget::default(),
            reserve: None,
        }
    }
}

/// A piece of work.
pub(crate) struct Order {
    /// What a script may take.
    pub(crate) limits: Limits,
    /// Trees below, the lowest first.
    pub(crate) lowers: Vec<String>,
    pub(crate) epoch: i64,
    pub(crate) compression: Compression,
    pub(crate) job: Job,
    /// The blob to unpack, or the file that takes one.
    pub(crate) blob: File,
    /// Descriptors that the job names, from [`crate::engine::message::fd::MORE`] on.
    pub(crate) more: Vec<OwnedFd>,
}

/// How it ended.
pub(crate) enum Ending {
    /// As it should, with the layer's index if there is a layer.
    Done(Done, Option<LayerIndex>),
    /// A script failed; the last lines it said.
    Exit(Ended, Vec<String>),
    /// It could not be done.
    Failed(EngineFailure),
}

/// What is heard while it goes on.
pub(crate) enum Heard<'a> {
    Line(&'a [u8]),
    Note(&'a str),
    /// What keeps a script to its limits.
    Kept(&'a str),
    /// A script failed; what starts a shell over what it left, on a terminal.
    Failing(
        Ended,
        &'a mut dyn FnMut(OwnedFd, &str) -> Result<(), BuildError>,
    ),
}

impl Desk<'_> {
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.cancel.check().map_err(|_| BuildError::Cancelled)
    }

    /// A folder for a new tree that the engine can fill.
    pub(crate) fn new_tree(&self) -> Result<NewTree, BuildError> {
        let tree = self.store.new_tree()?;
        if let Some((uid, gid)) = self.ids.owner() {
            own(tree.path(), uid, gid).map_err(BuildError::io("hand a folder to the engine"))?;
        }
        Ok(tree)
    }

    /// Removes everything in a folder, as root of the namespace.
    pub(crate) fn remove_in_engine(
        &self,
        folder: OwnedFd,
        nothing: OwnedFd,
    ) -> Result<(), BuildError> {
        let request = Request {
            single: self.ids == IdMode::Single,
            lowers: Vec::new(),
            epoch: 0,
            compression: String::new(),
            job: Job::Remove,
        };
        let request = serde_json::to_vec(&request).unwrap_or_default();
        let fds = vec![nothing, folder];
        let mut engine = EngineProcess::start(ROLE, self.ids, &request, fds)?;
        match listen(&mut engine, &Veil::default(), &mut |_| {})? {
            (Some(Reply::Failed(causes)), _) => Err(BuildError::Upkeep {
                source: EngineFailure { causes },
            }),
            _ => Ok(()),
        }
    }

    /// Does a piece of work and waits for its end.
    pub(crate) fn run(
        &self,
        tree: &NewTree,
        order: Order,
        veil: &Veil,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<Ending, BuildError> {
        self.check()?;
        let request = Request {
            single: self.ids == IdMode::Single,
            lowers: order.lowers,
            epoch: order.epoch,
            compression: compression_word(order.compression).to_owned(),
            job: order.job,
        };
        // Plain data always serialises.
        let request = serde_json::to_vec(&request).unwrap_or_default();
        let mut index = tempfile::tempfile_in(self.store.temporary())
            .map_err(BuildError::io("make a temporary file in the store"))?;
        let copy = |file: &File| {
            let copy = file.try_clone().map(OwnedFd::from);
            copy.map_err(BuildError::io("copy a descriptor"))
        };
        let mut fds = vec![
            open(&self.store.root().join("trees"))?,
            open(tree.path())?,
            order.blob.into(),
            copy(&index)?,
        ];
        fds.extend(order.more);
        let options = EngineOptions {
            limits: Some(&order.limits),
            emulator: self.emulator,
        };
        let mut engine = EngineProcess::start_with(ROLE, self.ids, &request, fds, &options)?;
        let reply = std::thread::scope(|scope| {
            let canceller = engine.canceller();
            let (running, ended) = channel::<()>();
            let cancel = self.cancel;
            scope.spawn(move || {
                while ended.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                    if cancel.is_cancelled() {
                        canceller.cancel();
                        return;
                    }
                }
            });
            let reply = listen(&mut engine, veil, hear);
            drop(running);
            reply
        });
        let (reply, tail) = reply?;
        let failed = |causes| Ok(Ending::Failed(EngineFailure { causes }));
        match reply {
            None => {
                self.check()?;
                failed(vec!["the engine ended without an answer".into()])
            }
            Some(Reply::Done(done)) => {
                engine.wait()?;
                let index = match &done.layer {
                    None => None,
                    Some(_) => Some(read_index(&mut index)?),
                };
                Ok(Ending::Done(done, index))
            }
            Some(Reply::Exit(Ended::Cancelled)) => Err(BuildError::Cancelled),
            Some(Reply::Exit(ended)) => Ok(Ending::Exit(ended, tail)),
            Some(Reply::Failed(causes)) => {
                self.check()?;
                failed(causes)
            }
            Some(Reply::Note(text) | Reply::Kept(text)) => failed(vec![text]),
            Some(Reply::Failing(_)) => failed(vec!["the engine ended in the middle".into()]),
        }
    }
}

/// Hears an engine to its last message: gives its answer and the last lines of output.
fn listen(
    engine: &mut EngineProcess,
    veil: &Veil,
    hear: &mut dyn FnMut(Heard<'_>),
) -> Result<(Option<Reply>, Vec<String>), BuildError> {
    let mut tail: VecDeque<String> = VecDeque::new();
    let mut answer = None;
    while let Some(message) = engine.next_message()? {
        match Message::parse(&message) {
            Some(Message::Output(mut line)) => {
                if !veil.is_empty() {
                    line = veil.hide(&line);
                }
                hear(Heard::Line(&line));
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(String::from_utf8_lossy(&line).into_owned());
            }
            Some(Message::Reply(Reply::Kept(text))) => hear(Heard::Kept(&text)),
            Some(Message::Reply(Reply::Note(text))) => hear(Heard::Note(&veil.hide_text(text))),
            Some(Message::Reply(Reply::Failing(ended))) => {
                let mut started = false;
                hear(Heard::Failing(ended, &mut |terminal, kind| {
                    started = true;
                    Ok(engine.send(kind.as_bytes(), &[terminal])?)
                }));
                if !started {
                    engine.send(b"", &[])?;
                }
            }
            Some(Message::Reply(Reply::Failed(causes))) => {
                let causes = causes.into_iter().map(|text| veil.hide_text(text));
                answer = Some(Reply::Failed(causes.collect()));
            }
            Some(Message::Reply(reply)) => answer = Some(reply),
            None => {}
        }
    }
    Ok((answer, tail.into()))
}

fn read_index(file: &mut File) -> Result<LayerIndex, BuildError> {
    let fail = || BuildError::io("read the index of a layer");
    let mut bytes = Vec::new();
    file.rewind().map_err(fail())?;
    file.read_to_end(&mut bytes).map_err(fail())?;
    decode_layer_index(&bytes)
        .map_err(|error| fail()(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

/// Opens a folder as a path.
pub(crate) fn open(path: &std::path::Path) -> Result<OwnedFd, BuildError> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(BuildError::io("open a folder of the store"))
}

/// A descriptor that stands where none is needed.
pub(crate) fn open_nothing() -> Result<OwnedFd, BuildError> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(BuildError::io("open `/dev/null`"))
}

fn own(path: &std::path::Path, uid: u32, gid: u32) -> std::io::Result<()> {
    use rustix::fs::{Gid, Uid};
    Ok(rustix::fs::chown(
        path,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
    )?)
}
