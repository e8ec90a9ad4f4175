package inspect

import "github.com/guestctl/guestctl/daemon/api"

// windows fills in what only Windows has.
func (r *report) windows() {
	r.out.Windows = &api.Windows{SystemRoot: systemRoot(r.ctx, r.fs)}
}
