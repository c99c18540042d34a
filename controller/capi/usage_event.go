package capi

// AppUsageEvent says when something that is paid for began, changed or ended.
type AppUsageEvent struct {
	Resource
	State         UsageState  `json:"state"`
	App           UsageName   `json:"app"`
	Process       UsageType   `json:"process"`
	Space         UsageName   `json:"space"`
	Organization  UsageGUID   `json:"organization"`
	Buildpack     UsageName   `json:"buildpack"`
	Task          UsageName   `json:"task"`
	MemoryInMB    UsageNumber `json:"memory_in_mb_per_instance"`
	InstanceCount UsageNumber `json:"instance_count"`
	Links         Links       `json:"links"`
}

// ServiceUsageEvent says when a service instance began, changed or ended.
type ServiceUsageEvent struct {
	Resource
	State           string    `json:"state"`
	Space           UsageName `json:"space"`
	Organization    UsageGUID `json:"organization"`
	ServiceInstance UsageKind `json:"service_instance"`
	ServicePlan     UsageName `json:"service_plan"`
	ServiceOffering UsageName `json:"service_offering"`
	ServiceBroker   UsageName `json:"service_broker"`
	Links           Links     `json:"links"`
}

// UsageState is a state and the one before; null where there was none.
type UsageState struct {
	Current  string  `json:"current"`
	Previous *string `json:"previous"`
}

// UsageNumber is a number and the one before.
type UsageNumber struct {
	Current  *int `json:"current"`
	Previous *int `json:"previous"`
}

// UsageGUID, UsageName, UsageType and UsageKind name what an event is about, with nulls where it is not about such.
type (
	UsageGUID struct {
		GUID *string `json:"guid"`
	}
	UsageName struct {
		GUID *string `json:"guid"`
		Name *string `json:"name"`
	}
	UsageType struct {
		GUID *string `json:"guid"`
		Type *string `json:"type"`
	}
	UsageKind struct {
		GUID *string `json:"guid"`
		Name *string `json:"name"`
		Type *string `json:"type"`
	}
)
