//! The figures as one JSON array: one object each, unscaled units, percentiles in nanoseconds or null.

use crate::figure::Figure;

/// Renders the array, one figure per line so that two runs can be compared by eye.
pub(crate) fn render(figures: &[Figure]) -> Result<String, serde_json::Error> {
    let lines: Vec<String> = figures.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(format!("[\n  {}\n]\n", lines.join(",\n  ")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        figure::{Measure, tests::figure},
        workload::Runtime,
    };

    #[test]
    fn one_object_per_figure() {
        let mut ask = figure(Measure::Ask, "ractor", Runtime::TwoWorkers, 1_028.04);
        ask.p50 = Some(1_001.26);
        ask.p99 = Some(2_000.0);
        let memory = figure(Measure::SpawnMemory, "kanal", Runtime::OneThread, 689.0);
        let text = render(&[ask, memory]).expect("figures are plain");
        let parsed: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(
            parsed,
            json!([
                {"workload": "ask", "peer": "ractor", "runtime": "2 workers", "value": 1028.0,
                 "unit": "ns", "better": "lower", "p50": 1001.3, "p99": 2000.0},
                {"workload": "spawn-memory", "peer": "kanal", "runtime": "1 thread", "value": 689.0,
                 "unit": "B", "better": "lower", "p50": null, "p99": null},
            ])
        );
    }

    #[test]
    fn rates_are_better_higher() {
        let tell = figure(Measure::Tell, "kameo", Runtime::OneThread, 2e6);
        let text = render(&[tell]).expect("figures are plain");
        assert!(text.contains(r#""value":2000000.0,"unit":"msg/s","better":"higher""#), "{text}");
    }
}
