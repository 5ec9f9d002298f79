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
    let verdict = match encamp_jobspec::admit(job) {
        Ok(parsed) => Verdict {
            driver_config_validated: true,
            validation_errors: None,
            error: String::new(),
            warnings: parsed.warnings.join("\n"),
        },
        Err(found) => Verdict {
            driver_config_validated: true,
            validation_errors: Some(found.items().iter().map(encamp_jobspec::Diagnostic::render).collect()),
            error: found.to_string(),
            warnings: String::new(),
        },
    };
    Ok(call.json(&verdict))
}
