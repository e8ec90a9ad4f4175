package accounts

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Bounds.
const (
	maxFile  = 16 << 20 // bytes of passwd, shadow or group
	maxUsers = 50_000   // and groups
	maxKeys  = 1000     // of one user
	maxHomes = 5000     // users whose keys are looked for
)

// A List is what was found.
type List struct {
	Users    []api.User
	Groups   []api.Group
	Warnings []string

	ctx context.Context
	fs  *look.FS
}

func (l *List) warn(format string, args ...any) {
	if len(l.Warnings) < 100 && l.ctx.Err() == nil {
		l.Warnings = append(l.Warnings, look.Clean(fmt.Sprintf(format, args...)))
	}
}

// lines calls do for the fields of each line of a file, as long as it answers true.
func (l *List) lines(file string, do func(fields []string, source string) bool) {
	b, err := l.fs.Read(l.ctx, file, maxFile)
	if err != nil {
		if !look.Absent(err) {
			l.warn("%s: %v", file, err)
		}
		return
	}
	for n := 1; len(b) > 0; n++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		if len(line) == 0 || line[0] == '#' || line[0] == '+' || line[0] == '-' || len(line) > 64<<10 {
			continue // a comment, or an entry that is NIS's
		}
		if !do(strings.Split(string(line), ":"), look.At(file, n)) {
			l.warn("%s has more than %d entries; the rest is left out", file, maxUsers)
			return
		}
	}
}

// Unix lists the accounts of a Unix. The error is ctx's.
func Unix(ctx context.Context, fs *look.FS) (*List, error) {
	l := &List{ctx: ctx, fs: fs, Users: []api.User{}, Groups: []api.Group{}}
	l.groups()
	l.users()
	l.passwords()
	l.logins()
	for i := range l.Users {
		if i == maxHomes {
			l.warn("the keys of the first %d users are looked for", maxHomes)
			break
		}
		if l.Users[i].Home != "" && ctx.Err() == nil {
			l.keys(&l.Users[i])
		}
	}
	return l, ctx.Err()
}

func (l *List) groups() {
	for _, file := range []string{"/etc/group", "/usr/lib/group"} {
		l.lines(file, func(f []string, source string) bool {
			if len(f) < 4 || f[0] == "" {
				return true
			}
			g := api.Group{Name: look.Clean(f[0]), GID: number(f[2]), Source: source}
			for m := range strings.SplitSeq(f[3], ",") {
				if m = look.Clean(m); m != "" && len(g.Members) < maxUsers {
					g.Members = append(g.Members, m)
				}
			}
			l.Groups = append(l.Groups, g)
			return len(l.Groups) < maxUsers
		})
	}
}

func (l *List) users() {
	in := map[string][]string{}
	total := 0
	for _, g := range l.Groups {
		for _, m := range g.Members {
			if total++; total <= 10*maxUsers {
				in[m] = append(in[m], g.Name)
			}
		}
	}
	for _, file := range []string{"/etc/passwd", "/usr/lib/passwd"} {
		l.lines(file, func(f []string, source string) bool {
			if len(f) < 7 || f[0] == "" {
				return true
			}
			u := api.User{Name: look.Clean(f[0]), UID: number(f[2]), GID: number(f[3]), Home: look.Clean(f[5]), Shell: look.Clean(f[6]), Source: source}
			name, _, _ := strings.Cut(f[4], ",")
			u.FullName, u.Groups = look.Clean(name), in[u.Name]
			if f[1] != "x" && f[1] != "*" || !l.shadowed() {
				u.Password = password(f[1])
			}
			l.Users = append(l.Users, u)
			return len(l.Users) < maxUsers
		})
	}
}

// shadowed says whether passwords are in a file of their own.
func (l *List) shadowed() bool {
	return l.fs.IsFile(l.ctx, "/etc/shadow") || l.fs.IsFile(l.ctx, "/etc/master.passwd")
}

// passwords takes what shadow(5) and master.passwd(5) say.
func (l *List) passwords() {
	byName := map[string][]int{}
	for i, u := range l.Users {
		byName[u.Name] = append(byName[u.Name], i)
	}
	of := func(name string) *api.User {
		if list := byName[look.Clean(name)]; len(list) > 0 {
			return &l.Users[list[0]]
		}
		return nil
	}
	l.lines("/etc/shadow", func(f []string, _ string) bool {
		u := of(f[0])
		if u == nil || len(f) < 2 {
			return true
		}
		u.Password = password(f[1])
		if len(f) > 2 {
			u.PasswordChanged = day(f[2])
		}
		if len(f) > 7 {
			u.Expires = day(f[7])
		}
		return true
	})
	l.lines("/etc/master.passwd", func(f []string, _ string) bool {
		u := of(f[0])
		if u == nil || len(f) < 10 {
			return true
		}
		u.Password = password(f[1])
		if n := number(f[6]); n != nil && *n > 0 && *n < 1<<40 {
			u.Expires = time.Unix(*n, 0).UTC().Format(time.DateOnly)
		}
		return true
	})
}

// password says what a password field means.
func password(field string) string {
	rest := strings.TrimLeft(field, "!*")
	switch {
	case field == "":
		return "none"
	case field == rest:
		return "set"
	case rest == "" || rest == "LK*" || rest == "NP*": // of Solaris
		return "unusable"
	}
	return "locked" // a hash with something before it; *LOCKED* of FreeBSD
}

// number is a number of a file, nil where it is none.
func number(s string) *int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// day is a number of days since 1970.
func day(s string) string {
	n := number(s)
	if n == nil || *n <= 0 || *n > 3_000_000 {
		return ""
	}
	return time.Unix(*n*86400, 0).UTC().Format(time.DateOnly)
}

// lastlogSize is that of struct lastlog on 64-bit Linux: 32 bits of time, 32
// bytes of terminal, 256 of host. The file has one for each UID.
const lastlogSize = 4 + 32 + 256

func (l *List) logins() {
	f, err := l.fs.Open(l.ctx, "/var/log/lastlog", 1<<62)
	if err != nil || f.Size()%lastlogSize != 0 {
		return
	}
	for i := range l.Users {
		u := &l.Users[i]
		if u.UID == nil || *u.UID < 0 || *u.UID >= f.Size()/lastlogSize {
			continue
		}
		var b [4]byte
		if n, err := f.ReadAt(b[:], *u.UID*lastlogSize); n < len(b) && err != io.EOF {
			return
		}
		if t := binary.LittleEndian.Uint32(b[:]); t != 0 {
			u.LastLogin = time.Unix(int64(t), 0).UTC().Format(time.RFC3339)
		}
	}
}

// keys reads the keys that let a user in.
func (l *List) keys(u *api.User) {
	for _, name := range []string{"authorized_keys", "authorized_keys2"} {
		file := strings.TrimSuffix(u.Home, "/") + "/.ssh/" + name
		if !strings.HasPrefix(file, "/") {
			continue
		}
		lines, err := l.fs.Text(l.ctx, file)
		if err != nil {
			if !look.Absent(err) {
				l.warn("%s: %v", file, err)
			}
			continue
		}
		for i, line := range lines {
			if k, ok := Key(line); ok && len(u.AuthorizedKeys) < maxKeys {
				k.Source = look.At(file, i+1)
				u.AuthorizedKeys = append(u.AuthorizedKeys, k)
			}
		}
	}
	u.AuthorizedKeys = slices.Clip(u.AuthorizedKeys)
}
