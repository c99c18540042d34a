// Package config keeps what the command line must remember between commands: which API, whose token, which
// org and space. It is one JSON file in the folder CUPOLA_HOME (~/.cupola by default), readable by its
// owner alone because it holds tokens.
//
// A write goes to a temporary file that is synced and renamed, so that a crash leaves the old or the new
// state and nothing between. Commands that run at the same time take turns by a lock file.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Config is the remembered state. The zero value is a machine where nobody has logged in.
type Config struct {
	API            string `json:"api,omitempty"`
	SkipValidation bool   `json:"skip_ssl_validation,omitempty"`
	CA             string `json:"ca,omitempty"` // PEM: trusted for this API beside the system's
	User           string `json:"user,omitempty"`
	AccessToken    string `json:"access_token,omitempty"`
	RefreshToken   string `json:"refresh_token,omitempty"`
	Org            Target `json:"org,omitzero"`
	Space          Target `json:"space,omitzero"`

	// Preferences, which outlive the login.
	Color       string `json:"color,omitempty"`        // true, false; empty: as the environment says
	Trace       string `json:"trace,omitempty"`        // true, or a file; empty: none
	WaitMinutes int    `json:"wait_minutes,omitempty"` // for builds and instances; 0: as each command says
}

// Target is an org or a space that commands work in.
type Target struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

// Logout forgets who is logged in and what is targeted; the API stays.
func (c *Config) Logout() {
	c.User, c.AccessToken, c.RefreshToken = "", "", ""
	c.Org, c.Space = Target{}, Target{}
}

// Dir is CUPOLA_HOME, or .cupola in the user's home; empty where there is neither, as for a service of systemd.
func Dir(getenv func(string) string) string {
	if dir := getenv("CUPOLA_HOME"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cupola")
}

// File is the state on disk. Its methods may be called from several processes and goroutines at once.
type File struct {
	dir string
}

// At is the state in dir, which is made when something is written. In an empty dir nobody is logged in, and nobody can.
func At(dir string) *File { return &File{dir: dir} }

// Dir is the folder of the state; other things that can be deleted without harm live in folders below it.
func (f *File) Dir() string { return f.dir }

func (f *File) path() string { return filepath.Join(f.dir, "config.json") }

// Load reads the state. A file that is not there is the zero Config.
func (f *File) Load() (Config, error) {
	var c Config
	if f.dir == "" {
		return c, nil
	}
	data, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the login: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("%s is damaged (%w): delete it and log in again", f.path(), err)
	}
	return c, nil
}

// Update changes the state while no other command can. What fn leaves is written when fn returns nil.
func (f *File) Update(fn func(*Config) error) (Config, error) {
	unlock, err := f.lock()
	if err != nil {
		return Config{}, err
	}
	defer unlock()
	c, err := f.Load()
	if err != nil {
		return c, err
	}
	if err := fn(&c); err != nil {
		return c, err
	}
	return c, f.write(c)
}

// lock waits for the lock file. The kernel lets go of it when the process ends, however it ends.
func (f *File) lock() (unlock func(), err error) {
	if f.dir == "" {
		return nil, errors.New("there is no home folder to keep the login in: set CUPOLA_HOME")
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for the login: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the login: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the login: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil // closing unlocks, and a file that was only locked has nothing to lose
}

func (f *File) write(c Config) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(f.dir, ".config-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the login: %w", err)
	}
	_, err = temporary.Write(append(data, '\n'))
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), f.path())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the login: %w", err), os.Remove(temporary.Name()))
	}
	return nil
}
