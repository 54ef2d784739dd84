for bind in $binds; do
  bind_it "$bind" && set -- --bind "$bind" "$@"
done

# The folder for temporary files.
case $tmp in
off) tmp='' ;;
auto) tmp=${TEMPDIR:-${TEMP:-${TMPDIR:-${TMP-}}}} ;;
/*) ;;
*) stop "tmp cannot be \`$tmp\`" ;;
esac
if [ -d "$tmp" ] && [ "$(cd -P "$tmp" && pwd)" != /tmp ]; then
  [ "$x11" = on ] && [ -n "${DISPLAY-}" ] && [ -d /tmp/.X11-unix ] && set -- --bind /tmp/.X11-unix "$@"
  set -- --bind "$tmp:/tmp" "$@"
else
  covered=$covered/tmp$nl
fi

# The working directory, unless something brings it along.
for list in "${APPTAINER_BIND-}" "${APPTAINER_BINDPATH-}" "${SINGULARITY_BIND-}" "${SINGULARITY_BINDPATH-}"; do
  IFS=,
  for bind in $list; do
    target_of "$bind"
  done
done
IFS=$nl
if [ "$cwd_rule" != leave ] && [ -n "$cwd" ]; then
  there=no
  for place in ${HOME-} /var/tmp $covered; do
    case $place in / | [!/]*) continue ;; esac
    case $cwd/ in "${place%/}"/*) there=yes ;; esac
  done
  # Of the system: a bind would hide what the image has there.
  case $cwd/ in
  /bin/* | /boot/* | /dev/* | /etc/* | /lib/* | /lib32/* | /lib64/* | /libx32/* | /proc/* | /sbin/* | /sys/* | /usr/*) there=yes ;;
  / | // | /home/ | /mnt/ | /opt/ | /root/ | /run/ | /var/) there=yes ;;
  esac
  if [ "$there" = no ] && [ "$cwd_rule" = bind ]; then
    set -- --bind "$cwd" "$@"
  elif [ "$there" = no ]; then
    echo "neurodesk: warning: nothing binds the working directory \`$cwd\`" >&2
  fi
fi

[ "$x11" = on ] && [ -f "${XAUTHORITY-}" ] && set -- --bind "$XAUTHORITY:$XAUTHORITY:ro" "$@"
socket=${XDG_RUNTIME_DIR:+$XDG_RUNTIME_DIR/}${WAYLAND_DISPLAY-}
[ "$wayland" = on ] && [ -n "${WAYLAND_DISPLAY-}" ] && [ -S "$socket" ] && set -- --bind "$socket" "$@"

# A GPU whose device and driver are there, unless somebody says no or names one already.
case $gpu,$gpu_of_image in
off,* | *,off) gpu=off ;;
,) gpu=auto ;;
,*) gpu=$gpu_of_image ;;
esac
case " ${neurodesk_singularity_opts-} " in *' --nv '* | *' --nvccli '* | *' --rocm '*) gpu=off ;; esac
offered=''
if [ "$gpu" = auto ] || [ "$gpu" = nvidia ]; then
  if [ -e "$root/dev/nvidiactl" ] || [ -e "$root/dev/dxg" ]; then
    for folder in $drivers; do
      [ -e "$root/$folder/libcuda.so.1" ] && offered=--nv
    done
  fi
fi
if [ "$gpu" = auto ] || [ "$gpu" = rocm ]; then
  [ -z "$offered" ] && [ -e "$root/dev/kfd" ] && [ -e "$root/dev/dri" ] && offered=--rocm
fi
[ -n "$offered" ] && set -- "$offered" "$@"

# Variables: what the user hands over stays, then what the site sets, then what may pass.
hand() {
  case $1 in '' | [0-9]* | *[!A-Za-z0-9_]*) return ;; esac
  eval "[ -z \"\${APPTAINERENV_$1+x}\${SINGULARITYENV_$1+x}\" ]" &&
    export "APPTAINERENV_$1=$2" "SINGULARITYENV_$1=$2"
}
hand_own() {
  case $1 in '' | [0-9]* | *[!A-Za-z0-9_]*) return ;; esac
  eval "[ -n \"\${$1+x}\" ] && hand \"\$1\" \"\$$1\""
}
for pair in $variables; do
  hand "${pair%%=*}" "${pair#*=}"
done
if [ "$clean" = on ]; then
  [ "$x11" = on ] && pass=$pass${nl}DISPLAY${nl}XAUTHORITY
  [ "$wayland" = on ] && [ -n "${WAYLAND_DISPLAY-}" ] && pass=$pass${nl}WAYLAND_DISPLAY${nl}XDG_RUNTIME_DIR
  [ -n "$offered" ] && pass=$pass$nl$gpu_variables
  for name in $pass; do
    case $name in
    *\*)
      for line in $(export -p); do
        line=${line#export }
        line=${line#declare -x }
        line=${line%%=*}
        case $line in "${name%\*}"*) hand_own "$line" ;; esac
      done
      ;;
    *) hand_own "$name" ;;
    esac
  done
  set -- --cleanenv "$@"
fi
unset IFS
exec "$runtime" --silent exec "$@"
