package btrfs

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// options are those of Linux's mount that change what is shown. Others, such
// as compress= and ssd, are for writers and are passed over.
type options struct {
	subvol     string // a path from the top level; "" where not given
	subvolID   uint64 // 0 where not given
	noLog      bool   // nologreplay
	backupRoot bool   // usebackuproot
	noSums     bool   // rescue=ignoredatacsums
}

func parseOptions(list string) (o options, err error) {
	for opt := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(opt, "=")
		switch name {
		case "subvol":
			o.subvol = "/" + strings.Trim(value, "/")
		case "subvolid":
			id, err := strconv.ParseUint(value, 0, 64)
			if err != nil {
				return o, fmt.Errorf("btrfs option subvolid=%s: %w", value, syscall.EINVAL)
			}
			if o.subvolID = id; id == 0 {
				o.subvolID = fsTreeID
			}
		case "nologreplay":
			o.noLog = true
		case "usebackuproot", "recovery":
			o.backupRoot = true
		case "rescue":
			for r := range strings.SplitSeq(value, ":") {
				switch r {
				case "nologreplay":
					o.noLog = true
				case "usebackuproot":
					o.backupRoot = true
				case "ignoredatacsums", "idatacsums":
					o.noSums = true
				case "all":
					o.noLog, o.noSums = true, true
				}
			}
		}
	}
	return o, nil
}
