package accounts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The value F of an account, numbers little-endian.
const (
	offLastLogin   = 8  // FILETIME
	offPasswordSet = 24 // FILETIME
	offRID         = 48
	offFlags       = 56
	fixedLen       = 58
	flagDisabled   = 0x0001
)

// The value V: descriptors of offset, length and something else, then the data.
const (
	descriptorLen = 12
	descriptors   = 17
	fullName      = 2 // which descriptor
)

const accountKey = `HKLM\SAM\SAM\Domains\Account\Users`

// Windows lists the accounts of a Windows. The error is ctx's.
func Windows(ctx context.Context, reg *registry.Registry) (*List, error) {
	l := &List{ctx: ctx, Users: []api.User{}, Groups: []api.Group{}}
	profiles := map[string]registry.User{}
	for _, p := range reg.Users() {
		profiles[p.SID] = p
	}
	machine := machineSID(reg)
	names, err := reg.Open(accountKey + `\Names`)
	switch {
	case err == nil:
		for k, err := range names.Subkeys() {
			if err != nil {
				l.warn("%s: %v", accountKey, err)
				continue
			}
			if len(l.Users) == maxUsers {
				l.warn("there are more than %d accounts; the rest is left out", maxUsers)
				break
			}
			if u, ok := account(reg, k, machine); ok {
				u.Home = look.Clean(profiles[u.SID].Folder)
				l.Users = append(l.Users, u)
			}
		}
	case !errors.Is(err, fs.ErrNotExist):
		l.warn("the accounts are not known: %v", err)
	}
	for _, p := range reg.Users() {
		known := slices.ContainsFunc(l.Users, func(u api.User) bool { return u.SID == p.SID })
		if (strings.HasPrefix(p.SID, "S-1-5-21-") || strings.HasPrefix(p.SID, "S-1-12-1-")) && !known { // no service's
			l.Users = append(l.Users, api.User{Name: look.Clean(path.Base(p.Folder)), SID: look.Clean(p.SID), Home: look.Clean(p.Folder), Source: look.Clean(p.Key)})
		}
	}
	return l, ctx.Err()
}

// machineSID is what the SIDs of the machine's own accounts start with: the last
// three numbers of it end the value V of the domain.
func machineSID(reg *registry.Registry) string {
	k, err := reg.Open(`HKLM\SAM\SAM\Domains\Account`)
	if err != nil {
		return ""
	}
	v, err := k.Value("V")
	if err != nil || len(v.Data) < 12 {
		return ""
	}
	sid := "S-1-5-21"
	for b := v.Data[len(v.Data)-12:]; len(b) > 0; b = b[4:] {
		sid += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(b)), 10)
	}
	return sid
}

// account reads the account with the name of a key, whose default value has the
// number of the account as its type.
func account(reg *registry.Registry, k *hive.Key, machine string) (api.User, bool) {
	v, err := k.Value("")
	if err != nil {
		return api.User{}, false
	}
	rid := int64(v.Type)
	u := api.User{Name: look.Clean(k.Name()), UID: &rid, Source: look.Clean(accountKey + `\Names\` + k.Name())}
	if machine != "" {
		u.SID = machine + "-" + strconv.FormatInt(rid, 10)
	}
	data, err := reg.Open(fmt.Sprintf(`%s\%08X`, accountKey, rid))
	if err != nil {
		return u, true
	}
	if f, err := data.Value("F"); err == nil && len(f.Data) >= fixedLen && int64(binary.LittleEndian.Uint32(f.Data[offRID:])) == rid {
		u.LastLogin, u.PasswordChanged = moment(f.Data[offLastLogin:]), moment(f.Data[offPasswordSet:])
		u.Disabled = binary.LittleEndian.Uint16(f.Data[offFlags:])&flagDisabled != 0
	}
	if v, err := data.Value("V"); err == nil {
		u.FullName = look.Clean(described(v.Data, fullName))
	}
	return u, true
}

// moment is a FILETIME; "" where it is none, or never.
func moment(b []byte) string {
	t := hive.Time(binary.LittleEndian.Uint64(b))
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// described is the text that a descriptor of the value V points to.
func described(b []byte, n int) string {
	const data = descriptors * descriptorLen
	if len(b) < data {
		return ""
	}
	off, size := binary.LittleEndian.Uint32(b[n*descriptorLen:]), binary.LittleEndian.Uint32(b[n*descriptorLen+4:])
	text, ok := ondisk.Slice(b[data:], int(off), int(size))
	if !ok {
		return ""
	}
	return hive.Text(text)
}
