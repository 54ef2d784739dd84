//! Many images at a time, for programs that know which.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use nd_host::Environment;
use nd_names::ImageName;
use nd_report::Cancel;
use nd_terminal::{Failure, FailureKind, OrFail as _, Printer};

use super::{
    Context,
    install::{Ready, failure, image_sources, tell},
};
use crate::{
    Candidate, FetchContext, ImageSource, InstallError, InstallWish, Installed, Means, Obtained,
    Settings, Site, SourceSetting, WrapperStyle,
};

/// Steps of the progress display that one image has at most.
const STEPS: u32 = 1 << 16;

/// How an [`Installer`] is set up.
#[derive(Debug, Clone, Default)]
pub struct InstallerOptions {
    /// The prefix; else that of the settings.
    pub prefix: Option<PathBuf>,
    /// The file of settings; else that of the user or of the machine.
    pub settings: Option<PathBuf>,
    /// Sources in place of those that come with the program; of no meaning when a file of settings
    /// is there.
    pub sources: Option<Vec<SourceSetting>>,
    /// Open no connection.
    pub offline: bool,
    /// How commands are wrapped.
    pub style: WrapperStyle,
}

impl InstallerOptions {
    fn context(&self, printer: Printer) -> Result<Context, Failure> {
        let environment = Environment::of_process()?;
        let mut settings =
            Settings::load(&environment, self.settings.as_deref()).or_fail(FailureKind::Failed)?;
        if let (None, Some(sources)) = (&settings.file, &self.sources) {
            settings.sources.clone_from(sources);
        }
        let (prefix, offline) = (self.prefix.as_deref(), self.offline);
        let context = Context::of(environment, settings, prefix, offline, printer)?;
        nd_terminal::cancel_when_interrupted(&context.cancel, &context.printer)?;
        Ok(context)
    }
}

/// Installs images into a prefix, several at a time, in one progress display.
pub struct Installer {
    context: Context,
    ready: Ready,
    style: WrapperStyle,
}

impl std::fmt::Debug for Installer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Installer")
            .field("site", &self.context.site)
            .finish_non_exhaustive()
    }
}

impl Installer {
    /// Reads the settings and prepares the prefix. Ctrl-C is heard from now on.
    ///
    /// # Errors
    ///
    /// When the settings cannot be read, the prefix cannot be written, or the launcher is missing.
    pub fn new(options: &InstallerOptions, printer: Printer) -> Result<Self, Failure> {
        let context = options.context(printer)?;
        let ready = Ready::new(&context, options.style)?;
        Ok(Self {
            context,
            ready,
            style: options.style,
        })
    }

    /// The prefix.
    pub fn site(&self) -> &Site {
        &self.context.site
    }

    /// The caller's wish to stop.
    pub fn cancel(&self) -> &Cancel {
        &self.context.cancel
    }

    /// Where an image is looked for, by the settings.
    ///
    /// # Errors
    ///
    /// Never with the sources of good settings.
    pub fn candidates(&self, image: &ImageName) -> Result<Vec<Candidate>, Failure> {
        image_sources(&self.context, "auto", image)
    }

    /// The wish to have an image as the settings and the arguments say.
    ///
    /// # Errors
    ///
    /// See [`Self::candidates`].
    pub fn wish(&self, image: ImageName) -> Result<InstallWish, Failure> {
        Ok(InstallWish {
            candidates: self.candidates(&image)?,
            image,
            from: None,
            sha256: None,
            dialects: None,
            unpack: false,
            options: Vec::new(),
            style: self.style,
            in_place: None,
            aliases: None,
            force: false,
        })
    }

    /// Installs what is wished, at most `parallel` at a time; results are in the order of the wishes.
    /// One failure does not stop the others, the caller's wish to stop does.
    pub fn install_all(
        &self,
        wishes: &[InstallWish],
        parallel: NonZeroUsize,
    ) -> Vec<Result<Installed, Failure>> {
        each(wishes, parallel, |number, wish| {
            self.install_one(number, wish).map_err(failure)
        })
    }

    fn install_one(&self, number: usize, wish: &InstallWish) -> Result<Installed, InstallError> {
        self.context
            .cancel
            .check()
            .map_err(crate::SourceError::from)?;
        let fetch = numbered(&self.ready.fetch, number);
        let means = Means {
            fetch: &fetch,
            ..self.ready.means(&self.context)
        };
        crate::install(wish, &means)
    }

    /// Gives folders of the prefix's state to the site's group, as installations are given to it.
    ///
    /// # Errors
    ///
    /// When there is no such group, or we may not.
    pub fn share_state(&self, names: &[&str]) -> Result<(), Failure> {
        let folders = names.iter().map(|name| self.site().state().join(name));
        for folder in folders.filter(|folder| folder.is_dir()) {
            crate::share(&folder, &self.context.settings.site).map_err(failure)?;
        }
        Ok(())
    }

    /// Says what was installed, as `install` does.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn tell(&self, installed: &Installed) -> Result<(), Failure> {
        tell(&self.context, installed)
    }
}

/// Gets images without installing them.
pub struct Getter {
    context: Context,
    fetch: FetchContext,
}

impl std::fmt::Debug for Getter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Getter")
            .field("fetch", &self.fetch)
            .finish_non_exhaustive()
    }
}

impl Getter {
    /// Reads the settings; downloads are kept in `store`. Ctrl-C is heard from now on.
    ///
    /// # Errors
    ///
    /// When the settings cannot be read or the store cannot be made.
    pub fn new(
        options: &InstallerOptions,
        store: &Path,
        printer: Printer,
    ) -> Result<Self, Failure> {
        let context = options.context(printer)?;
        let fetch = context.fetch(store)?;
        Ok(Self { context, fetch })
    }

    /// What downloads need, and where they are kept.
    pub fn fetch(&self) -> &FetchContext {
        &self.fetch
    }

    /// Gets an image file from the first source that has one; unpacked images of CVMFS are none.
    /// `number` tells steps of images that come at one time apart.
    ///
    /// # Errors
    ///
    /// When no source has it, and when the caller wishes to stop.
    pub fn obtain(&self, number: usize, image: &ImageName) -> Result<Obtained, Failure> {
        let mut candidates = image_sources(&self.context, "auto", image)?;
        candidates.retain(|one| !matches!(one.source, ImageSource::Cvmfs(_)));
        let fetch = numbered(&self.fetch, number);
        let obtained = crate::obtain(image, &candidates, None, &fetch);
        obtained.map_err(|error| failure(error.into()))
    }
}

/// The same with steps of a range of their own.
fn numbered(fetch: &FetchContext, number: usize) -> FetchContext {
    let mut fetch = fetch.clone();
    fetch.options.first_step = u32::try_from(number).unwrap_or(0).saturating_mul(STEPS);
    fetch
}

/// Does `work` for each item on at most `parallel` threads; results are in the order of the items.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    parallel: NonZeroUsize,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let take = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(number) else {
                    return mine;
                };
                mine.push((number, work(number, item)));
            }
        };
        let threads: Vec<_> = (0..parallel.get().min(items.len()))
            .map(|_| scope.spawn(take))
            .collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(mine) => mine,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
