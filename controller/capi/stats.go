package capi

import "encoding/json"

// Stats is one instance of a process as it is now. Sizes are in bytes, Uptime in seconds; an entry that is
// DOWN has only Type, Index, State, Uptime, Routable, IsolationSegment and Details.
type Stats struct {
	Type             string              `json:"type"`
	Index            int                 `json:"index"`
	InstanceGUID     string              `json:"instance_guid"`
	State            string              `json:"state"`
	Routable         bool                `json:"routable"`
	Usage            *Usage              `json:"usage"`
	Host             string              `json:"host"`
	InternalIP       string              `json:"instance_internal_ip"`
	Ports            Array[InstancePort] `json:"instance_ports"`
	Uptime           int64               `json:"uptime"`
	MemQuota         int64               `json:"mem_quota"`
	DiskQuota        int64               `json:"disk_quota"`
	LogRateLimit     int64               `json:"log_rate_limit"` // -1: none
	FDsQuota         int64               `json:"fds_quota"`
	IsolationSegment *string             `json:"isolation_segment"`
	Details          *string             `json:"details"`
}

// Usage is what an instance used lately; CPU 1.0 is one core, CPUEntitlement is a share of what is its due.
type Usage struct {
	Time           Time    `json:"time"`
	CPU            float64 `json:"cpu"`
	CPUEntitlement float64 `json:"cpu_entitlement"`
	Mem            int64   `json:"mem"`
	Disk           int64   `json:"disk"`
	LogRate        int64   `json:"log_rate"`
}

// InstancePort is how one port of an instance can be reached.
type InstancePort struct {
	External         int  `json:"external"`
	Internal         int  `json:"internal"`
	ExternalTLSProxy *int `json:"external_tls_proxy_port"`
	InternalTLSProxy *int `json:"internal_tls_proxy_port"`
}

// MarshalJSON leaves out what a DOWN entry has not; Usage is {} where nothing is known yet.
func (s Stats) MarshalJSON() ([]byte, error) {
	if s.State == "DOWN" {
		return json.Marshal(struct {
			Type             string  `json:"type"`
			Index            int     `json:"index"`
			State            string  `json:"state"`
			Routable         bool    `json:"routable"`
			Uptime           int64   `json:"uptime"`
			IsolationSegment *string `json:"isolation_segment"`
			Details          *string `json:"details"`
		}{s.Type, s.Index, s.State, s.Routable, s.Uptime, s.IsolationSegment, s.Details})
	}
	type plain Stats
	if s.Usage != nil {
		return json.Marshal(plain(s))
	}
	return json.Marshal(struct {
		plain
		Usage struct{} `json:"usage"`
	}{plain: plain(s)})
}
