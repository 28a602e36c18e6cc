//! A topology for people and for programs to read.

use std::fmt::Write as _;

use serde::Serialize;
use sinks::Guarantee;

use super::{Topology, topics::TopicSpec};

/// A topology's shape: what is connected to what, and how its topics are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// The stages.
    pub stages: Vec<StageShape>,
    /// The topics.
    pub topics: Vec<TopicSpec>,
}

/// A stage's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageShape {
    /// The stage's name.
    pub name: &'static str,
    /// Its consumer group.
    pub group: String,
    /// The names of the topics it reads.
    pub from: Vec<&'static str>,
    /// Destination of the stage.
    pub to: &'static str,
    /// Delivery guarantee of the destination.
    pub delivers: Guarantee,
}

impl Topology {
    /// The shape, for JSON.
    pub fn shape(&self) -> Shape {
        let stage = |stage: &super::Stage| StageShape {
            name: stage.name(),
            group: stage.group(),
            from: stage.topics().iter().map(|topic| topic.name()).collect(),
            to: stage.destination(),
            delivers: stage.guarantee(),
        };
        Shape { stages: self.stages().iter().map(stage).collect(), topics: self.topics() }
    }

    /// The topology as text, a stage a paragraph, then the topics.
    pub fn show_text(&self) -> String {
        let shape = self.shape();
        let mut text = String::new();
        for stage in &shape.stages {
            let width = stage.from.iter().map(|topic| topic.len()).max().unwrap_or(0);
            let middle = (stage.from.len().max(1) - 1) / 2;
            for (row, topic) in stage.from.iter().enumerate() {
                let joint = match (row, stage.from.len()) {
                    (_, 1) => "──",
                    (0, _) => "─┐",
                    (row, rows) if row == rows - 1 => "─┘",
                    _ => "─┤",
                };
                let end = if row == middle {
                    format!("─► {} ─► {}", stage.name, stage.to)
                } else {
                    String::new()
                };
                text_line(&mut text, format_args!("{topic:<width$} {joint}{end}"));
            }
            text_line(&mut text, format_args!("{:width$}    consumer group {}\n", "", stage.group));
        }
        for spec in &shape.topics {
            let days = spec.retention.as_secs() / 86_400;
            let (topic, partitions) = (spec.topic.name(), spec.partitions);
            let noun = if partitions == 1 { "partition" } else { "partitions" };
            text_line(&mut text, format_args!("{topic:<24} {partitions} {noun}, kept {days} days"));
        }
        text
    }

    /// The topology as a Mermaid flowchart.
    pub fn show_mermaid(&self) -> String {
        let id = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut text = "flowchart LR\n".to_owned();
        for stage in self.shape().stages {
            let (name, to) = (stage.name, stage.to);
            for topic in stage.from {
                text_line(&mut text, format_args!("    {}[/{topic}/] --> {}({name})", id(topic), id(name)));
            }
            text_line(&mut text, format_args!("    {} --> to_{}[({to})]", id(name), id(to)));
        }
        text
    }
}

fn text_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use crate::pipeline;

    #[test]
    fn the_pipeline_as_people_see_it() {
        let topology = pipeline::declaration();
        insta::assert_snapshot!("text", topology.show_text());
        insta::assert_snapshot!("mermaid", topology.show_mermaid());
        insta::assert_json_snapshot!("json", topology.shape());
    }
}
