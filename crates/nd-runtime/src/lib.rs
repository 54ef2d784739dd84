//! Run a command in an image: embedded sandbox or Apptainer.
