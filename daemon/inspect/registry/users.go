package registry

import (
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/hive"
)

// maxProfiles bounds the users that are looked at.
const maxProfiles = 10_000

// A User is a user whose profile Windows has.
type User struct {
	SID    string
	Folder string // of the profile, in the guest
	Key    string // of the entry in the registry
}

// Users lists the profiles, in the order of the registry.
func (r *Registry) Users() []User {
	var list []User
	for _, p := range r.profileList() {
		list = append(list, User{p.sid, p.dir, `HKLM` + profileList + `\` + p.sid})
	}
	return list
}

const profileList = `\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList`

func (r *Registry) profileList() []profile {
	if r.listed {
		return r.profiles
	}
	r.listed = true
	k, err := r.Open(Machine + profileList)
	if err != nil {
		return nil
	}
	for sub, err := range k.Subkeys() {
		if err != nil || len(r.profiles) == maxProfiles {
			continue
		}
		v, err := sub.Value("ProfileImagePath")
		if err != nil {
			continue
		}
		if dir := r.file(v.Text()); dir != "" {
			r.profiles = append(r.profiles, profile{sub.Name(), dir})
		}
	}
	return r.profiles
}

// users opens a key below HKEY_USERS.
func (r *Registry) users(rest string) (*Key, error) {
	name, rest, _ := strings.Cut(rest, `\`)
	if name == "" {
		return &Key{Path: Users, Hives: r.userHives()}, nil
	}
	if strings.EqualFold(name, ".DEFAULT") || strings.EqualFold(name, "S-1-5-18") {
		return r.below(r.config("DEFAULT"), Users+`\`+strings.ToUpper(name), rest)
	}
	for _, p := range r.profileList() {
		if sid, ok := strings.CutSuffix(strings.ToLower(name), "_classes"); ok && strings.EqualFold(p.sid, sid) {
			return r.below(r.userClasses(p), Users+`\`+p.sid+"_Classes", rest)
		}
		if strings.EqualFold(p.sid, name) || strings.EqualFold(path.Base(p.dir), name) {
			return r.below(r.fs.NoCase(r.ctx, p.dir+"/NTUSER.DAT"), Users+`\`+p.sid, rest)
		}
	}
	return nil, &hive.MissingError{What: "subkey", Key: Users, Name: name}
}

// userClasses is where a user's file associations are, since Vista and before.
func (r *Registry) userClasses(p profile) string {
	for _, f := range []string{"/AppData/Local/Microsoft/Windows/UsrClass.dat", "/Local Settings/Application Data/Microsoft/Windows/UsrClass.dat"} {
		if f = r.fs.NoCase(r.ctx, p.dir+f); f != "" {
			return f
		}
	}
	return ""
}

func (r *Registry) userHives() []string {
	var list []string
	if r.config("DEFAULT") != "" {
		list = append(list, ".DEFAULT")
	}
	for _, p := range r.profileList() {
		if r.fs.NoCase(r.ctx, p.dir+"/NTUSER.DAT") != "" {
			list = append(list, p.sid)
		}
		if r.userClasses(p) != "" {
			list = append(list, p.sid+"_Classes")
		}
	}
	return list
}
