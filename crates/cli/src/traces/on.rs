//! Where spans go: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gateway::traces::{Collector, Traces};
use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::{Settings, Source};
use crate::exit::Fault;

/// What stands behind the address of a collector.
const PATH: &str = "/v1/traces";
/// What this is called at a collector where nobody says otherwise.
const SERVICE: &str = "durward";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracing {
    endpoint: String,
    headers: BTreeMap<String, Source>,
    authorities: Option<PathBuf>,
    sample: Option<Sample>,
}

/// The same as it is typed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedTraces {
    /// A collector that takes OTLP over HTTP: `http://127.0.0.1:4318`.
    endpoint: Endpoint,
    /// Headers that it wants, such as `authorization`, and where their values come from.
    #[serde(default)]
    headers: BTreeMap<String, Source>,
    /// A file with the authorities of its certificate, in PEM; the system's where it is not given.
    authorities: Option<PathBuf>,
    /// The part of all traces that is sent, from 0 to 1; all where nothing is said. What was refused or held is always sent.
    sample: Option<Sample>,
}

/// A part of all traces, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(with = "f64", extend("minimum" = 0, "maximum" = 1))]
struct Sample(u32);

impl Sample {
    const ALL: Self = Self(1_000_000);
}

impl TryFrom<f64> for Sample {
    type Error = String;

    fn try_from(part: f64) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&part) {
            return Err(format!("{part} is no part of all traces, from 0 to 1"));
        }
        // Within the bounds of the number, as was just asked.
        let millionths = format!("{:.0}", part * 1_000_000.0);
        millionths.parse().map(Self).map_err(|_| format!("{part} is no part of all traces, from 0 to 1"))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^https?://."))]
struct Endpoint(String);

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if rest.is_some_and(|rest| !rest.is_empty()) {
            return Ok(Self(text));
        }
        Err(format!("\"{text}\" is no address of a collector, such as \"http://127.0.0.1:4318\""))
    }
}

impl TypedTraces {
    pub(crate) fn below(self, home: &Path) -> Tracing {
        let Self { endpoint: Endpoint(endpoint), headers, authorities, sample } = self;
        let headers = headers.into_iter().map(|(name, source)| (name, source.below(home))).collect();
        Tracing { endpoint, headers, authorities: authorities.map(|file| home.join(file)), sample }
    }
}

/// Starts what sends, where a collector is named.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<Traces> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let collector = match &settings.traces {
        Some(tracing) => Some(by_file(tracing, settings, &var)?),
        None => by_environment(&var)?,
    };
    let Some(collector) = collector else { return Ok(Traces::default()) };
    tracing::info!(collector = collector.address, "traces are sent");
    let (traces, exporter) = gateway::traces::start(collector)
        .map_err(|error| Fault::Invalid(format!("{}: {error}", settings.at(&["traces"]))))?;
    tokio::spawn(exporter.run());
    Ok(traces)
}

fn by_file(
    tracing: &Tracing,
    settings: &Settings,
    var: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Collector> {
    let Tracing { endpoint, headers, authorities, sample } = tracing;
    let headers = headers
        .iter()
        .map(|(name, source)| Ok((name.clone(), source.read(&settings.at(&["traces", "headers", name]))?)));
    let authorities = authorities.as_deref().map(read).transpose()?;
    Ok(Collector {
        address: below(endpoint),
        headers: headers.collect::<anyhow::Result<_>>()?,
        authorities,
        service: var("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE.to_owned()),
        sample: sample.map_or_else(|| sampled(var), Ok)?.0,
    })
}

/// What the standard variables say of sampling. Nobody's trace is a parent of the gateway's.
fn sampled(var: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Sample> {
    let word = var("OTEL_TRACES_SAMPLER").unwrap_or_default();
    let argument = || {
        let Some(text) = var("OTEL_TRACES_SAMPLER_ARG") else { return Ok(Sample::ALL) };
        let part = text.trim().parse::<f64>().map_err(|_| format!("\"{text}\" is no number"));
        part.and_then(Sample::try_from)
            .map_err(|why| Fault::Invalid(format!("OTEL_TRACES_SAMPLER_ARG: {why}")).into())
    };
    match word.strip_prefix("parentbased_").unwrap_or(&word) {
        "" | "always_on" => Ok(Sample::ALL),
        "always_off" => Ok(Sample(0)),
        "traceidratio" => argument(),
        _ => Err(Fault::Invalid(format!(
            "OTEL_TRACES_SAMPLER is {word}: known are always_on, always_off and traceidratio, also behind parentbased_"
        ))
        .into()),
    }
}

/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>
fn by_environment(var: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<Collector>> {
    let is_off = var("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"))
        || var("OTEL_TRACES_EXPORTER").is_some_and(|word| word == "none");
    let of_traces = |name: &str| {
        var(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| var(&format!("OTEL_EXPORTER_OTLP_{name}")))
    };
    let address = var("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or_else(|| var("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| below(&base)));
    let Some(address) = address.filter(|_| !is_off) else { return Ok(None) };
    if let Some(other) = of_traces("PROTOCOL").filter(|word| word != "http/json") {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is {other}; http/json is spoken, which every collector takes at the same port as http/protobuf"
        );
    }
    let authorities = of_traces("CERTIFICATE").map(|file| read(Path::new(&file))).transpose()?;
    let headers = of_traces("HEADERS").map_or_else(|| Ok(Vec::new()), |text| listed(&text))?;
    let service = var("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE.to_owned());
    Ok(Some(Collector { address, headers, authorities, service, sample: sampled(var)?.0 }))
}

fn below(base: &str) -> String {
    format!("{}{PATH}", base.trim_end_matches('/'))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("traces: {}", file.display()))
}

/// `name=value,name=value`, the values as in an address.
fn listed(text: &str) -> anyhow::Result<Vec<(String, Zeroizing<String>)>> {
    let wrong =
        || Fault::Invalid("OTEL_EXPORTER_OTLP_HEADERS is name=value, several with commas between".to_owned());
    let mut all = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        all.push((name.trim().to_owned(), Zeroizing::new(decoded(value.trim()).ok_or_else(wrong)?)));
    }
    Ok(all)
}

/// Without `%` and two digits.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Option<Collector> {
        let var = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        by_environment(&var).expect("it is understood")
    }

    #[test]
    fn the_standard_variables_name_a_collector() {
        for (variables, address) in [
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/")][..], Some("http://c:4318/v1/traces")),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/x")], Some("http://c:4318/x")),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "TRUE")], None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_TRACES_EXPORTER", "none")], None),
            (&[("OTEL_SERVICE_NAME", "gate")], None),
        ] {
            assert_eq!(from(variables).map(|c| c.address).as_deref(), address, "{variables:?}");
        }
        let collector = from(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, a=b=c"),
            ("OTEL_SERVICE_NAME", "gate"),
        ])
        .expect("a collector");
        let headers: Vec<(&str, &str)> =
            collector.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("authorization", "Bearer x"), ("a", "b=c")]);
        assert_eq!(collector.service, "gate");
    }

    #[test]
    fn the_standard_variables_say_how_much_is_sent() {
        for (sampler, argument, part) in [
            ("", "", Some(1_000_000)),
            ("always_off", "", Some(0)),
            ("parentbased_always_on", "", Some(1_000_000)),
            ("traceidratio", "0.25", Some(250_000)),
            ("parentbased_traceidratio", "0.000001", Some(1)),
            ("traceidratio", "", Some(1_000_000)),
            ("traceidratio", "2", None),
            ("traceidratio", "NaN", None),
            ("traceidratio", "-0.1", None),
            ("traceidratio", "many", None),
            ("jaeger_remote", "", None),
        ] {
            let set = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
            let var = |name: &str| match name {
                "OTEL_TRACES_SAMPLER" => set(sampler),
                "OTEL_TRACES_SAMPLER_ARG" => set(argument),
                _ => None,
            };
            assert_eq!(sampled(&var).ok().map(|sample| sample.0), part, "{sampler} {argument}");
        }
    }

    #[test]
    fn headers_that_cannot_be_read_are_told() {
        for text in ["authorization", "a=%4", "a=%zz", "a=%ff"] {
            assert!(listed(text).is_err(), "{text}");
        }
    }
}
