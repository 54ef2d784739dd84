//! The scripts that upstream's users source and call.

use nd_names::ImageName;

/// A word as every POSIX shell reads it back.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `activate_STEM.simg.sh`: sourced, puts the container's folder before `PATH`. No file is edited.
pub fn activation(image: &ImageName, folder: &str) -> String {
    let folder = quoted(folder);
    format!(
        "# Source this file to use the commands of {image} in this shell.\n\
         # `transparent-singularity shell-init --write` does it for every shell.\n\
         case \":${{PATH}}:\" in\n\
         *:{folder}:*) ;;\n\
         *) PATH={folder}\"${{PATH:+:${{PATH}}}}\" ;;\n\
         esac\n\
         export PATH\n"
    )
}

/// `deactivate_STEM.simg.sh`: sourced, takes the container's folder out of `PATH`, wherever and
/// however often it stands there.
pub fn deactivation(image: &ImageName, folder: &str) -> String {
    let folder = quoted(folder);
    format!(
        "# Source this file to take the commands of {image} out of this shell.\n\
         _nd_rest=\"${{PATH}}:\"\n\
         _nd_path=\n\
         while [ -n \"${{_nd_rest}}\" ]; do\n\
         \x20 _nd_part=\"${{_nd_rest%%:*}}\"\n\
         \x20 _nd_rest=\"${{_nd_rest#*:}}\"\n\
         \x20 [ \"${{_nd_part}}\" = {folder} ] || _nd_path=\"${{_nd_path}}:${{_nd_part}}\"\n\
         done\n\
         PATH=\"${{_nd_path#:}}\"\n\
         export PATH\n\
         unset _nd_rest _nd_path _nd_part\n"
    )
}

/// `ts_uninstall.sh`: removes what the installation recorded, from wherever it is called.
pub fn upstream_uninstall(image: &ImageName) -> String {
    format!(
        "#!/bin/sh\n\
         # Removes the installation of {image} that this file belongs to.\n\
         base=$(CDPATH= cd -- \"$(dirname -- \"$0\")\" && pwd -P) || exit 2\n\
         exec transparent-singularity uninstall --folder \"$base\" -- {}\n",
        quoted(&image.stem())
    )
}
