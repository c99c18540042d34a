package capi

import "time"

// The resources of this file are Cupola's own: what operators watch, and what Cloud Foundry has no resource for.

// NodeInstance is an instance of an app on a node.
type NodeInstance struct {
	Resource
	App     GUID   `json:"app"`
	Name    string `json:"app_name"`
	Space   GUID   `json:"space"`
	Process string `json:"process_type"`
	Index   int    `json:"index"`
	State   string `json:"state"`
	Memory  int    `json:"memory_in_mb"`
}

// States of a Certificate.
const (
	CertificateValid   = "VALID"
	CertificateEnding  = "ENDING"  // should have been renewed by now
	CertificateExpired = "EXPIRED" // clients refuse it
	CertificateFailing = "FAILING" // there is none, and the authority refused one
	CertificateToCome  = "TO COME" // it is made when the first client asks for the host
)

// Sources of a Certificate.
const (
	CertificatePlatform = "platform"
	CertificateACME     = "acme"
)

// Certificate is the certificate of a host, or one of the platform's own authorities.
type Certificate struct {
	Host      string     `json:"host"`   // of an authority its name
	Source    string     `json:"source"` // CertificatePlatform: the platform's own authority; CertificateACME: a public one
	Authority bool       `json:"authority"`
	Issuer    string     `json:"issuer"`
	State     string     `json:"state"`
	NotBefore *time.Time `json:"not_before"` // null: there is none yet
	NotAfter  *time.Time `json:"not_after"`
	Problem   string     `json:"problem"`  // what the public authority said last, if it was no
	RetryAt   *time.Time `json:"retry_at"` // when it is asked again; null: with the next client
	Remedy    string     `json:"remedy"`   // what to do; empty: nothing
}

// States of a Disk.
const (
	DiskFine = "FINE"
	DiskLow  = "LOW"  // below a seventh, or 5 GB: make room soon
	DiskFull = "FULL" // below a twentieth, or 1 GB: builds and databases fail any moment
)

// Disk is a file system that the platform writes to.
type Disk struct {
	Name   string          `json:"name"` // what is on it
	Path   string          `json:"path"`
	Total  int64           `json:"total_bytes"`
	Free   int64           `json:"free_bytes"` // for the server's user
	State  string          `json:"state"`
	Parts  Array[DiskPart] `json:"parts"`  // the largest first
	Remedy string          `json:"remedy"` // empty: nothing is to be done
}

// DiskPart is a folder of the platform's on a Disk.
type DiskPart struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Disks are all of them.
type Disks struct {
	Resources Array[Disk] `json:"resources"`
}

// BackupState is how safe the content of one data service is.
type BackupState struct {
	ServiceInstance GUID    `json:"service_instance"`
	Name            string  `json:"name"`
	Space           GUID    `json:"space"`
	Last            *Backup `json:"last"`   // the newest, whatever became of it; null: there is none
	Proved          *Backup `json:"proved"` // the newest that was restored and queried; null: there is none
	// Recovery tells which moments can be restored; null: none, only backups.
	Recovery *DataRecovery `json:"recovery"`
}

// ProvedAt is when a backup was last restored and queried; zero: never.
func (b BackupState) ProvedAt() time.Time {
	if b.Proved == nil || b.Proved.ProvedAt == nil {
		return time.Time{}
	}
	return *b.Proved.ProvedAt
}

// Cause is one reason why an app does not serve. Kind is for programs; Text and Do are parts of a sentence, without a capital
// letter and a full stop; Command, which may be empty, is what to type.
type Cause struct {
	Kind    string `json:"kind"`
	Text    string `json:"text"`
	Do      string `json:"do"`
	Command string `json:"command,omitempty"`
}

// Causes are why an app does not serve; none: it does.
type Causes struct {
	Resources Array[Cause]  `json:"resources"`
	Said      Array[string] `json:"said"` // the app's last lines, where they tell more
}

// BuildPhase is a part of a build and how long it took.
type BuildPhase struct {
	Name         string `json:"name"`
	Milliseconds int64  `json:"milliseconds"`
}
