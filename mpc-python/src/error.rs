//! Errors as Python's exceptions: the classes of `mpc._errors`, each with the node that it is about.

use mpc_cli::Failure;
use mpc_cli::run::{InputError, RunError};
use mpc_models::tensors::TensorError;
use mpc_nn::{EvaluateError, InferenceError, PlanError};
use mpc_onnx::{ImportError, OnnxError, Reason};
use mpc_service::{Kind, PackError, ServiceError, TermsError};
use pyo3::prelude::*;

/// An error before it is an exception.
#[derive(Debug)]
pub struct Fault {
    class: &'static str,
    message: String,
    node: Option<String>,
    /// Of a network that cannot be imported: each node, its operator and what is wrong.
    reasons: Vec<(Option<String>, Option<String>, String)>,
}

impl Fault {
    /// Arguments or inputs that cannot be used.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new("InputError", message, None)
    }

    fn new(class: &'static str, message: impl Into<String>, node: Option<String>) -> Self {
        Self { class, message: keywords(&message.into()), node, reasons: Vec::new() }
    }

    fn raise(self, py: Python<'_>) -> PyResult<PyErr> {
        let class = py.import("mpc._errors")?.getattr(self.class)?;
        let Self { message, node, reasons, .. } = self;
        let exception =
            if reasons.is_empty() { class.call1((message, node))? } else { class.call1((message, node, reasons))? };
        Ok(PyErr::from_value(exception))
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        Python::attach(|py| fault.raise(py).unwrap_or_else(|error| error))
    }
}

/// A message that names flags of the command line, with the keywords that they are here.
fn keywords(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find("--") {
        let (before, flag) = rest.split_at(at);
        let flag = &flag[2..];
        let end = flag.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(flag.len());
        let is_flag = flag.starts_with(|c: char| c.is_ascii_lowercase()) && !before.ends_with('-');
        text += before;
        text += &if is_flag { flag[..end].replace('-', "_") } else { format!("--{}", &flag[..end]) };
        rest = &flag[end..];
    }
    (text + rest).replace("`mpc check calibrate`", "`check(calibrate=...)`")
}

/// The first name in backticks.
fn named(message: &str) -> Option<String> {
    message.split('`').nth(1).map(str::to_owned)
}

impl From<ImportError> for Fault {
    fn from(error: ImportError) -> Self {
        let reason = |reason: &Reason| {
            let (node, operator) = match reason {
                Reason::Unsupported { node, operator, .. }
                | Reason::Invalid { node, operator, .. }
                | Reason::Graph { node, operator, .. }
                | Reason::Range { node, operator } => (Some(node.clone()), Some(operator.clone())),
                Reason::Cycle { node } | Reason::Memory { node, .. } => (Some(node.clone()), None),
                Reason::InputShape { name, .. } | Reason::UnknownInput { name, .. } => (Some(name.clone()), None),
                _ => (None, None),
            };
            (node, operator, keywords(&reason.to_string()))
        };
        let reasons: Vec<_> = error.reasons.iter().map(reason).collect();
        let node = reasons.iter().find_map(|(node, ..)| node.clone());
        Self { reasons, ..Self::new("UnsupportedError", error.to_string(), node) }
    }
}

impl From<EvaluateError> for Fault {
    fn from(error: EvaluateError) -> Self {
        let (class, node) = match &error {
            EvaluateError::Overflow { name } | EvaluateError::OutOfRange { name, .. } => {
                ("RangeError", Some(name.clone()))
            }
            EvaluateError::InputShape { name, .. } | EvaluateError::NotFinite { name, .. } => {
                ("InputError", Some(name.clone()))
            }
            _ => ("InputError", None),
        };
        Self::new(class, error.to_string(), node)
    }
}

impl From<InferenceError> for Fault {
    fn from(error: InferenceError) -> Self {
        let message = error.to_string();
        let (class, node) = match error {
            InferenceError::Input(error) => return error.into(),
            InferenceError::Range { tensor: node, .. }
            | InferenceError::Bound { input: node, .. }
            | InferenceError::OutputBound { output: node, .. }
            | InferenceError::Reach { node, .. }
            | InferenceError::Spread { node, .. } => ("RangeError", Some(node)),
            InferenceError::Step { step, .. } | InferenceError::Link { step, .. } => ("RunError", Some(step)),
            _ => ("RunError", named(&message)),
        };
        Self::new(class, message, node)
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        let error = match error {
            ServiceError::Input(error) => return error.into(),
            ServiceError::Unfit(error) => return (*error).into(),
            error => error,
        };
        // The text with the names of what is missing.
        let kind = error.kind();
        let failure = Failure::from(error);
        let class = match kind {
            Kind::Differs => "DisagreementError",
            Kind::PeerLost => "PeerLostError",
            Kind::TimedOut => "PeerTimeoutError",
            Kind::Refused => "RefusedError",
            _ if failure.code() == 2 => "InputError",
            _ => "ServiceError",
        };
        let message = failure.to_string();
        let node = message.strip_prefix("step `").and_then(|rest| rest.split('`').next()).map(str::to_owned);
        Self::new(class, message, node)
    }
}

impl From<InputError> for Fault {
    fn from(error: InputError) -> Self {
        let message = error.to_string();
        match error {
            InputError::Import(error) => error.into(),
            InputError::Evaluate { error, .. } => Self { message: keywords(&message), ..error.into() },
            InputError::Magnitude { layer, .. } | InputError::Spread { layer, .. } => {
                Self::new("RangeError", message, Some(layer))
            }
            InputError::Beyond { input, .. } => Self::new("RangeError", message, Some(input)),
            _ => Self::input(message),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        match failure {
            Failure::Input(error) => error.into(),
            Failure::Service(error) => error.into(),
            Failure::Run(error) => {
                // A party says the step first.
                let step = message.split_once("step `").and_then(|(_, rest)| rest.split('`').next());
                let node = step.or_else(|| message.split('`').nth(1)).map(str::to_owned);
                let is_range =
                    matches!(&error, RunError::Nodes { .. }) && message.contains("its magnitude is not below");
                Self::new(if is_range { "RangeError" } else { "RunError" }, message, node)
            }
            Failure::Own(_) => Self::new("RunError", message, None),
            _ => Self::input(message),
        }
    }
}

macro_rules! input {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                let message = error.to_string();
                Self::new("InputError", &*message, named(&message))
            }
        }
    )*};
}

input!(OnnxError, PackError, PlanError, TensorError, TermsError);
