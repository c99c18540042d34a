package capi

// Summary is what runs and what is unwell, of all that the caller may see or of some spaces (Cupola's own,
// GET /v3/summary).
type Summary struct {
	Apps        SummaryApps        `json:"apps"`
	Instances   SummaryInstances   `json:"instances"`
	Builds      SummaryBuilds      `json:"builds"`
	Deployments SummaryDeployments `json:"deployments"`
	Unwell      Array[UnwellApp]   `json:"unwell"` // the first 200 apps of which an instance has crashed or is down, by name
}

// SummaryApps counts apps; Unwell counts those beyond the list too.
type SummaryApps struct {
	Total   int `json:"total"`
	Started int `json:"started"`
	Unwell  int `json:"unwell"`
}

// SummaryInstances counts instances by what they are now.
type SummaryInstances struct {
	Running  int `json:"running"`
	Starting int `json:"starting"`
	Crashed  int `json:"crashed"`
	Down     int `json:"down"`
}

// SummaryBuilds counts builds that are going on.
type SummaryBuilds struct {
	Staging int `json:"staging"`
}

// SummaryDeployments counts deployments that are going on.
type SummaryDeployments struct {
	Active int `json:"active"`
}

// UnwellApp is an app of which Instances are not well; Details is what the platform says of the first.
type UnwellApp struct {
	App       GUID   `json:"app"`
	Name      string `json:"name"`
	Space     GUID   `json:"space"`
	Instances int    `json:"instances"`
	Details   string `json:"details"`
	Since     Time   `json:"since"`
}
