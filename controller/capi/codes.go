package capi

// The kinds of errors that the API answers with.
var (
	InvalidAuthToken     = Kind{1000, "CF-InvalidAuthToken", 401}
	MessageParseError    = Kind{1001, "CF-MessageParseError", 400}
	BadRequest           = Kind{1004, "CF-BadRequest", 400}
	UnknownRequest       = Kind{10000, "CF-NotFound", 404}
	ServerError          = Kind{10001, "UnknownError", 500}
	NotAuthenticated     = Kind{10002, "CF-NotAuthenticated", 401}
	NotAuthorized        = Kind{10003, "CF-NotAuthorized", 403}
	BadQueryParameter    = Kind{10005, "CF-BadQueryParameter", 400}
	UnprocessableEntity  = Kind{10008, "CF-UnprocessableEntity", 422}
	UnableToPerform      = Kind{10009, "CF-UnableToPerform", 400}
	ResourceNotFound     = Kind{10010, "CF-ResourceNotFound", 404}
	RateLimitExceeded    = Kind{10013, "CF-RateLimitExceeded", 429}
	ServiceUnavailable   = Kind{10015, "CF-ServiceUnavailable", 503}
	OrgSuspended         = Kind{10017, "CF-OrgSuspended", 403}
	SpaceSuspended       = Kind{10019, "CF-SpaceSuspended", 403}
	ResourceBeingDeleted = Kind{10020, "CF-ResourceBeingDeleted", 422}

	AppInvalid                = Kind{100001, "CF-AppInvalid", 400}
	AppNameTaken              = Kind{100002, "CF-AppNameTaken", 400}
	AppMemoryQuotaExceeded    = Kind{100005, "CF-AppMemoryQuotaExceeded", 400}
	AppMemoryInvalid          = Kind{100006, "CF-AppMemoryInvalid", 400}
	InstanceMemoryExceeded    = Kind{100007, "CF-QuotaInstanceMemoryLimitExceeded", 400}
	InstanceLimitExceeded     = Kind{100008, "CF-QuotaInstanceLimitExceeded", 400}
	ServicesNotAllowed        = Kind{60007, "CF-ServiceInstanceServicePlanNotAllowed", 400}
	InstanceOperationRunning  = Kind{60016, "CF-AsyncServiceInstanceOperationInProgress", 409}
	BindingTaken              = Kind{90003, "CF-ServiceBindingAppServiceTaken", 400}
	BindingParamsUnsupported  = Kind{90007, "CF-ServiceFetchBindingParametersNotSupported", 400}
	BindingOperationRunning   = Kind{90008, "CF-AsyncServiceBindingOperationInProgress", 409}
	InstanceParamsUnsupported = Kind{120004, "CF-ServiceFetchInstanceParametersNotSupported", 400}
	AlreadyBoundToSameRoute   = Kind{130008, "CF-ServiceInstanceAlreadyBoundToSameRoute", 400}

	ServiceBrokerNotRemovable   = Kind{270010, "CF-ServiceBrokerNotRemovable", 422}
	ServiceBrokerCatalogInvalid = Kind{270012, "CF-ServiceBrokerCatalogInvalid", 502}
	InstanceHasShares           = Kind{390002, "CF-ServiceInstanceDeletionSharesExists", 422}
	MaintenanceInfoConflict     = Kind{390006, "CF-MaintenanceInfoConflict", 422}
	BrokerUnreachable           = Kind{10001, "CF-ServiceBrokerApiUnreachable", 502}
	BrokerTimeout               = Kind{10001, "CF-ServiceBrokerApiTimeout", 504}
	BrokerAuthenticationFailed  = Kind{10001, "CF-ServiceBrokerApiAuthenticationFailed", 502}
	BrokerBadResponse           = Kind{10001, "CF-ServiceBrokerBadResponse", 502}
	BrokerResponseMalformed     = Kind{10001, "CF-ServiceBrokerResponseMalformed", 502}
	BrokerRequestRejected       = Kind{10001, "CF-ServiceBrokerRequestRejected", 502}
	BrokerConflict              = Kind{10001, "CF-ServiceBrokerConflict", 409}
	BrokerAsyncRequired         = Kind{10001, "CF-AsyncRequired", 400}
	BrokerConcurrencyError      = Kind{10001, "CF-ConcurrencyError", 422}
	BrokerRequiresApp           = Kind{10001, "CF-RequiresApp", 422}

	AppPackageInvalid      = Kind{150001, "CF-AppPackageInvalid", 400}
	StagingError           = Kind{170001, "CF-StagingError", 400}
	NoAppDetectedError     = Kind{170003, "CF-NoAppDetectedError", 400}
	BuildpackCompileFailed = Kind{170004, "CF-BuildpackCompileFailed", 400}
	BuildpackReleaseFailed = Kind{170005, "CF-BuildpackReleaseFailed", 400}
	StagingTimeExpired     = Kind{170007, "CF-StagingTimeExpired", 504}
	InsufficientResources  = Kind{170008, "CF-InsufficientResources", 400}
	NoCompatibleCell       = Kind{170009, "CF-NoCompatibleCell", 400}
	StagingInProgress      = Kind{170017, "CF-StagingInProgress", 422}
	TaskWorkersUnavailable = Kind{170020, "CF-TaskWorkersUnavailable", 503}
	InstancesError         = Kind{220001, "CF-InstancesError", 400}
	StackNotFound          = Kind{250003, "CF-StackNotFound", 404}

	BuildpackNameStackTaken    = Kind{290000, "CF-BuildpackNameStackTaken", 422}
	BuildpackBitsUploadInvalid = Kind{290002, "CF-BuildpackBitsUploadInvalid", 400}
	BuildpackInvalid           = Kind{290003, "CF-BuildpackInvalid", 400}
	BuildpackLocked            = Kind{290005, "CF-BuildpackLocked", 409}
	BuildpackStacksDontMatch   = Kind{390011, "CF-BuildpackStacksDontMatch", 422}
	BuildpackStackDoesNotExist = Kind{390012, "CF-BuildpackStackDoesNotExist", 422}
	BuildpackZipError          = Kind{390013, "CF-BuildpackZipError", 422}

	QuotaTotalRoutesExceeded = Kind{310005, "CF-OrgQuotaTotalRoutesExceeded", 400}
	FeatureDisabled          = Kind{330002, "CF-FeatureDisabled", 403}
	ProcessNotFound          = Kind{350003, "CF-ProcessNotFound", 404}

	ScaleDisabledDuringDeployment         = Kind{390016, "CF-ScaleDisabledDuringDeployment", 422}
	ProcessUpdateDisabledDuringDeployment = Kind{390017, "CF-ProcessUpdateDisabledDuringDeployment", 422}
	StopDisabledDuringDeployment          = Kind{390024, "CF-StopDisabledDuringDeployment", 422}
)
