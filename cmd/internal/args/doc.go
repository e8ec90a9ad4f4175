// Package args reads command lines as GNU's getopt_long reads them, which is
// how libguestfs's commands read theirs.
//
// Options may stand before, between and after the positional arguments, up to
// a lone "--". Short options may be bundled ("-ri") and carry their value
// attached or as the next argument ("-aFILE", "-a FILE"). Long options carry it
// behind "=" or as the next argument, and may be cut short where what is left
// names one option only ("--part"). An option whose value may be missing takes
// one only when it is attached ("--format=raw", "--format").
//
// Parse keeps the order in which options were typed, because there it has a
// meaning: guestmount's --format speaks of the -a that come after it. Reorder
// writes the same command line with its options in front, for a parser that
// stops at the first positional argument (as Go's flag package and urfave/cli
// do): without it "guestmount IMAGE DIR --ro" would silently lose the --ro.
package args
