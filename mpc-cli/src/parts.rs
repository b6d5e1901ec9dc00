//! The results of a session with several inferences, each written as soon as it is there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use mpc_service::at_rest::private_file::create_private_folder;
use mpc_service::{Event, PublicModel, Watch};
use ndarray::ArrayD;

use crate::failure::Failure;
use crate::output::write_output;
use crate::session_progress::SessionProgress;

/// Watches a session, and writes each inference's outputs into a folder beside the file that all of them will be in.
pub struct Parts {
    progress: Option<SessionProgress>,
    /// By the place of the output.
    folders: BTreeMap<usize, PathBuf>,
    count: u32,
    done: u32,
    /// The first reason why something could not be written.
    error: Option<String>,
}

impl Parts {
    /// For outputs that go to these files, by name. A session of one inference has no parts.
    pub fn new(
        progress: SessionProgress,
        model: &PublicModel,
        files: &BTreeMap<String, PathBuf>,
        count: u32,
    ) -> Result<Self, Failure> {
        let outputs = model.outputs.iter().enumerate().filter(|_| count > 1);
        let folders = outputs.filter_map(|(place, output)| {
            let mut folder = files.get(&output.name)?.clone().into_os_string();
            folder.push(".parts");
            Some((place, PathBuf::from(folder)))
        });
        let parts = Self { progress: Some(progress), folders: folders.collect(), count, done: 0, error: None };
        // Those of an earlier session that failed are not of this one.
        parts.remove()?;
        Ok(parts)
    }

    /// Ends the bars: all is done.
    pub fn hide(&mut self) {
        self.progress = None;
    }

    /// Removes the parts, as all of them are in one file.
    pub fn remove(&self) -> Result<(), Failure> {
        for folder in self.folders.values() {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::Own(format!("{}: {error}", folder.display())));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The failure of a session, with how far it came and where that is.
    pub fn failure(&self, failure: Failure) -> Failure {
        let Self { done, count, .. } = *self;
        if done == 0 {
            return failure;
        }
        let folders: Vec<_> = self.folders.values().map(|folder| folder.display().to_string()).collect();
        let place = match (&self.error, &folders[..]) {
            (Some(error), _) => format!("their results are lost: {error}"),
            (None, []) => "no --output was named for their results".to_owned(),
            (None, folders) => format!("their results are in {}", folders.join(", ")),
        };
        let session = format!("{done} of {count} inferences had ended: {place}");
        Failure::Session { session, source: Box::new(failure) }
    }

    fn write(&self, inference: u32, outputs: &[ArrayD<f64>]) -> Result<(), String> {
        for (place, folder) in &self.folders {
            let Some(output) = outputs.get(*place) else { continue };
            create_private_folder(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let path = folder.join(format!("{inference:06}.npy"));
            write_output(&path, output, output.shape()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Watch for Parts {
    fn see(&mut self, event: Event) {
        if let Some(progress) = &mut self.progress {
            progress.see(event);
        }
    }

    fn take(&mut self, inference: u32, outputs: &[ArrayD<f64>]) {
        self.done = inference + 1;
        if self.error.is_none()
            && let Err(error) = self.write(inference, outputs)
        {
            tracing::error!(error, "a result could not be written before the session has ended");
            self.error = Some(error);
        }
    }
}
