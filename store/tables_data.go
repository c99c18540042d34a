package store

// The tables of the platform's own broker.
var (
	DataServices = newTable("data_services",
		by("state", func(d *DataService) string { return d.State }),
		by("name", func(d *DataService) string { return d.Name }),
		by("space", func(d *DataService) string { return d.SpaceGUID }),
		byEach("place", func(d *DataService) []string { return present(d.SpaceGUID, d.OrgGUID) }))

	DataBindings = newTable("data_bindings",
		by("service", func(b *DataBinding) string { return b.ServiceGUID }),
		by("app", func(b *DataBinding) string { return b.AppGUID }))

	DataBackups = newTable("data_backups",
		by("service", func(b *DataBackup) string { return b.ServiceGUID }))

	DataArchives = newTable("data_archives",
		by("service", func(a *DataArchive) string { return a.ServiceGUID }))
)
