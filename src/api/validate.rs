//! `/v1/validate/job`: would this job be taken?

use axum::response::Response;
use serde::Serialize;

use crate::{
    admission,
    auth::Action,
    call::{Api, Call},
    error::Error,
    routes::Routes,
};

pub(crate) fn routes() -> Routes<Api> {
    Routes::new().put("/v1/validate/job", Action::ReadJobs, validate)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    driver_config_validated: bool,
    validation_errors: Option<Vec<String>>,
    error: String,
    warnings: String,
}

async fn validate(call: Call) -> Result<Response, Error> {
    let body = call.object()?;
    let job = admission::job_field(&body, call.query.given("namespace"))?;
    let found = match encamp_jobspec::admit(job) {
        Ok(parsed) => admission::check_namespace(&parsed.job.namespace)
            .map(|()| parsed.warnings)
            .map_err(|refused| vec![refused.to_string()]),
        Err(found) => Err(found.items().iter().map(encamp_jobspec::Diagnostic::render).collect()),
    };
    let verdict = match found {
        Ok(warnings) => Verdict {
            driver_config_validated: true,
            validation_errors: None,
            error: String::new(),
            warnings: warnings.join("\n"),
        },
        Err(errors) => Verdict {
            driver_config_validated: true,
            error: errors.join("\n\n"),
            validation_errors: Some(errors),
            warnings: String::new(),
        },
    };
    Ok(call.json(&verdict))
}
