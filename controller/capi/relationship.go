package capi

import "encoding/json"

// GUID names another resource.
type GUID struct {
	GUID string `json:"guid"`
}

// ToOne is a relationship to one resource or, with nil Data, to none: {"data":null}.
type ToOne struct {
	Data *GUID `json:"data"`
}

// One is the relationship to guid; the empty string is none.
func One(guid string) ToOne {
	if guid == "" {
		return ToOne{}
	}
	return ToOne{Data: &GUID{GUID: guid}}
}

// To is a pointer to One(guid), for the optional relationships of requests.
func To(guid string) *ToOne {
	one := One(guid)
	return &one
}

// GUID is the related resource's GUID, or the empty string. It may be called on nil.
func (r *ToOne) GUID() string {
	if r == nil || r.Data == nil {
		return ""
	}
	return r.Data.GUID
}

// ToMany is a relationship to any number of resources; never null.
type ToMany struct {
	Data Array[GUID] `json:"data"`
}

// Many is the relationship to guids, in that order.
func Many(guids ...string) ToMany {
	data := make(Array[GUID], len(guids))
	for i, g := range guids {
		data[i].GUID = g
	}
	return ToMany{Data: data}
}

// GUIDs are the related resources' GUIDs. It may be called on nil.
func (r *ToMany) GUIDs() []string {
	if r == nil {
		return nil
	}
	guids := make([]string, len(r.Data))
	for i, d := range r.Data {
		guids[i] = d.GUID
	}
	return guids
}

// ToOneReply is what a to-one relationship endpoint answers.
type ToOneReply struct {
	Data  *GUID `json:"data"`
	Links Links `json:"links"`
}

// ToManyReply is what a to-many relationship endpoint answers.
type ToManyReply struct {
	Data  Array[GUID] `json:"data"`
	Links Links       `json:"links"`
}

// GUIDOrNull is {"guid":...} with null as the GUID of nothing, as the previous droplets of deployments are written.
type GUIDOrNull string

func (g GUIDOrNull) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		GUID *string `json:"guid"`
	}{nullable(string(g))})
}

func (g *GUIDOrNull) UnmarshalJSON(b []byte) error {
	return (*Ref)(g).UnmarshalJSON(b)
}

// Ref is {"guid":...} or null, as droplets of builds and spaces of audit events are written.
type Ref string

func (r Ref) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return json.Marshal(GUID{GUID: string(r)})
}

func (r *Ref) UnmarshalJSON(b []byte) error {
	var g *GUID
	if err := json.Unmarshal(b, &g); err != nil {
		return err
	}
	*r = ""
	if g != nil {
		*r = Ref(g.GUID)
	}
	return nil
}
