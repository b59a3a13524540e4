# What the tester says to start, break and mend the process under test. Before this stand `dir`, where
# its files are; `port`, where it listens, in hexadecimal; and `program`, which becomes the process.
#
# A file of the process that is at its limit of size takes no more writes, and that limit can be set from
# outside: so its store fails under it. The signal that comes with it is ignored, as by whoever wants the
# error. A log that has failed stays failed until it is opened again, so the mending is a restart.

# A process that has been killed holds its store until its last thread is gone, which may be after its
# first.
alive() { cat "/proc/$(cat "$dir/pid")"/task/*/status 2>/dev/null | grep -q '^State:.[^ZX]'; }
gone() { while alive; do :; done; }
listens() { grep -q ":$port 00000000:0000 0A" /proc/net/tcp; }

# Fails where the process ends before it listens: nobody needs to wait for one that refuses to start.
start() {
    (trap '' XFSZ; program >>"$dir/log" 2>&1) &
    echo $! >"$dir/pid"
    until listens; do alive || exit 1; done
}

case $1 in
start) start ;;
kill) kill -9 "$(cat "$dir/pid")"; gone ;;
stop) kill "$(cat "$dir/pid")"; gone ;;
store_down | store_read_only) prlimit --pid "$(cat "$dir/pid")" --fsize=0: ;;
# The secret, and the note of which store it belongs to, stay.
store_empty) mv "$dir/store" "$dir/store.away" ;;
store_up)
    if test -d "$dir/store.away"; then
        rm -rf "$dir/store"
        mv "$dir/store.away" "$dir/store"
    else
        kill "$(cat "$dir/pid")"
        gone
        start
    fi
    ;;
*) exit 2 ;;
esac
