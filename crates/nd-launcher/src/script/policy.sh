
# What the site decides is read when the command starts.
nl='
'
runtime=auto demand=off gpu='' root='' tmp=auto cwd_rule=bind x11=on wayland=on clean=on
options='' binds='' variables='' covered=''
stop() {
  echo "neurodesk: error: $1" >&2
  exit 125
}
one_of() {
  case " $3 " in *" $2 "*) ;; *) stop "$1 cannot be \`$2\`" ;; esac
}
read_policy() {
  [ -e "$1" ] || return 0
  [ -r "$1" ] || stop "cannot read $1"
  while read -r key value || [ -n "$key" ]; do
    case $key in '' | '#'*) continue ;; esac
    case $value in *\\*) stop "$1: $key: a shell wrapper reads no escapes" ;; esac
    case $key in
    runtime) runtime=$value ;;
    demand-digest)
      one_of demand-digest "$value" 'off files on'
      # What one policy demands, the next does not take back.
      case $demand,$value in off,* | files,on) demand=$value ;; esac
      ;;
    search) PATH=$PATH:$value ;;
    gpu) one_of gpu "$value" 'auto off nvidia rocm' && gpu=$value ;;
    device-root) root=$value ;;
    tmp) tmp=$value ;;
    cwd) one_of cwd "$value" 'bind warn leave' && cwd_rule=$value ;;
    x11) one_of x11 "$value" 'on off' && x11=$value ;;
    wayland) one_of wayland "$value" 'on off' && wayland=$value ;;
    clean-environment) one_of clean-environment "$value" 'on off' && clean=$value ;;
    covered) covered=$covered$value$nl ;;
    # Last things first: they are put before what is there.
    bind) binds=$value$nl$binds ;;
    option) options=$value$nl$options ;;
    pass) pass=$pass$value$nl ;;
    env) variables=$variables$value$nl ;;
    esac
  done <"$1"
}
