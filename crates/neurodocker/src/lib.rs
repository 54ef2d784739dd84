//! Renders instruction lists as Dockerfile and Apptainer definition; installation templates.
