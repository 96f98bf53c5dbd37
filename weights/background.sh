#!/bin/sh
# Train in the background, at the lowest priority, and give way to what must not wait.
#
#     weights/background.sh start RUN a2u train RUN ...   until it ends; again after a crash
#     weights/background.sh aside RUN COMMAND ...         stop the run while the command runs
#     weights/background.sh stop RUN                      end it; start goes on from its checkpoint
#
# RUN is the folder of the run; RUN/group holds its processes' group, RUN/log what it says.
set -eu
action=$1 run=$2
shift 2

group() {
    [ -f "$run/group" ] && pgid=$(cat "$run/group") && kill -s 0 -- "-$pgid" 2>/dev/null
}

case $action in
start)
    if group; then
        echo "$run is at work already" >&2
        exit 1
    fi
    mkdir -p "$run"
    # shellcheck disable=SC2016
    setsid nice -n 19 sh -c '
        run=$1
        shift
        echo $$ >"$run/group"
        # Linux weighs a session of its own as a whole: nice alone would count within it only
        echo 19 2>/dev/null >/proc/self/autogroup || true
        tries=0
        until "$@"; do
            tries=$((tries + 1))
            [ $tries -lt 5 ] || break
            echo "ended with an error; once more from the checkpoint"
            sleep 5
        done
        rm -f "$run/group"
    ' background "$run" "$@" >>"$run/log" 2>&1 </dev/null &
    ;;
aside)
    if group; then
        kill -s STOP -- "-$pgid"
        trap 'kill -s CONT -- "-$pgid" 2>/dev/null || true' EXIT
    fi
    "$@"
    ;;
stop)
    if group; then
        kill -s CONT -- "-$pgid"
        kill -s TERM -- "-$pgid"
        rm -f "$run/group"
    fi
    ;;
*)
    echo "expected start, aside or stop, found $action" >&2
    exit 2
    ;;
esac
