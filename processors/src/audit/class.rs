//! OCSF event classes, and activities within a class.

/// An OCSF 1.8.0 event class that Weir writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    BaseEvent,
    ComplianceFinding,
    DetectionFinding,
    Authentication,
    EntityManagement,
    DeviceConfigStateChange,
    ApplicationLifecycle,
    ApiActivity,
    DatastoreActivity,
}

impl Class {
    /// `class_uid`.
    pub(super) const fn uid(self) -> i32 {
        match self {
            Self::BaseEvent => 0,
            Self::ComplianceFinding => 2003,
            Self::DetectionFinding => 2004,
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::DeviceConfigStateChange => 5019,
            Self::ApplicationLifecycle => 6002,
            Self::ApiActivity => 6003,
            Self::DatastoreActivity => 6005,
        }
    }

    /// `category_uid`: the thousands of `class_uid`.
    pub(super) const fn category_uid(self) -> i32 {
        self.uid() / 1000
    }

    /// `class_name`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BaseEvent => "Base Event",
            Self::ComplianceFinding => "Compliance Finding",
            Self::DetectionFinding => "Detection Finding",
            Self::Authentication => "Authentication",
            Self::EntityManagement => "Entity Management",
            Self::DeviceConfigStateChange => "Device Config State Change",
            Self::ApplicationLifecycle => "Application Lifecycle",
            Self::ApiActivity => "API Activity",
            Self::DatastoreActivity => "Datastore Activity",
        }
    }
}

/// Activity within a class: `activity_id` and `activity_name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Activity<'a> {
    pub(super) id: i32,
    pub(super) name: &'a str,
}

impl<'a> Activity<'a> {
    pub(super) const fn new(id: i32, name: &'a str) -> Self {
        Self { id, name }
    }

    /// Activity `Other`, which OCSF asks to name in the source's words.
    pub(super) const fn other(name: &'a str) -> Self {
        Self { id: 99, name }
    }
}

/// Verb of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Read,
    Update,
    Delete,
    Enable,
    Disable,
    Activate,
    Deactivate,
    Suspend,
    Resume,
}

impl Verb {
    /// The verb of an action's name: the first word that is a verb or its past tense, with words separated by
    /// capitals or punctuation (`CreateUser`, `iam:PutRolePolicy`, `org.add_member`).
    pub(super) fn of(action: &str) -> Option<Self> {
        words(action).find_map(|word| {
            let past = || word.strip_suffix('d').and_then(Self::from_word);
            let past_ed = || word.strip_suffix("ed").and_then(Self::from_word);
            Self::from_word(word).or_else(past).or_else(past_ed)
        })
    }

    /// The verb of a word, ignoring case.
    fn from_word(word: &str) -> Option<Self> {
        // No verb below is longer; a longer word needs no copy.
        let mut lower = [0; 12];
        let lower = lower.get_mut(..word.len())?;
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"create" | b"run" | b"launch" | b"register" | b"allocate" | b"generate" | b"issue"
            | b"provision" | b"insert" | b"import" | b"copy" | b"clone" | b"invite" | b"upload" | b"new" => {
                Self::Create
            }
            b"get" | b"list" | b"describe" | b"head" | b"lookup" | b"search" | b"read" | b"view"
            | b"query" | b"scan" | b"select" | b"download" | b"check" | b"validate" | b"verify"
            | b"count" | b"estimate" | b"preview" | b"watch" | b"filter" | b"simulate" | b"discover"
            | b"poll" | b"receive" => Self::Read,
            b"update" | b"modify" | b"put" | b"set" | b"change" | b"edit" | b"attach" | b"detach"
            | b"associate" | b"disassociate" | b"add" | b"remove" | b"tag" | b"untag" | b"start"
            | b"stop" | b"reboot" | b"restart" | b"rename" | b"move" | b"transfer" | b"replace"
            | b"reset" | b"rotate" | b"resize" | b"scale" | b"patch" | b"apply" | b"assign" | b"unassign"
            | b"authorize" | b"revoke" | b"grant" | b"restore" | b"upgrade" | b"lock" | b"unlock"
            | b"merge" | b"write" | b"save" | b"publish" | b"configure" | b"promote" | b"extend"
            | b"renew" | b"join" | b"leave" | b"allow" | b"deny" | b"block" | b"unblock" | b"accept"
            | b"reject" | b"approve" => Self::Update,
            b"delete" | b"terminate" | b"destroy" | b"deregister" | b"unregister" | b"purge" | b"release"
            | b"erase" | b"drop" => Self::Delete,
            b"enable" => Self::Enable,
            b"disable" => Self::Disable,
            b"activate" => Self::Activate,
            b"deactivate" => Self::Deactivate,
            b"suspend" => Self::Suspend,
            b"resume" | b"unsuspend" => Self::Resume,
            _ => return None,
        })
    }

    /// The activity within API Activity (6003), which has four verbs: switching is an update.
    pub(super) const fn api_activity<'a>(self) -> Activity<'a> {
        match self {
            Self::Create => Activity::new(1, "Create"),
            Self::Read => Activity::new(2, "Read"),
            Self::Delete => Activity::new(4, "Delete"),
            _ => Activity::new(3, "Update"),
        }
    }

    /// The activity within Entity Management (3004).
    pub(super) const fn entity_activity<'a>(self) -> Activity<'a> {
        match self {
            Self::Create => Activity::new(1, "Create"),
            Self::Read => Activity::new(2, "Read"),
            Self::Update => Activity::new(3, "Update"),
            Self::Delete => Activity::new(4, "Delete"),
            Self::Enable => Activity::new(8, "Enable"),
            Self::Disable => Activity::new(9, "Disable"),
            Self::Activate => Activity::new(10, "Activate"),
            Self::Deactivate => Activity::new(11, "Deactivate"),
            Self::Suspend => Activity::new(12, "Suspend"),
            Self::Resume => Activity::new(13, "Resume"),
        }
    }

    /// The activity within Datastore Activity (6005).
    pub(super) const fn datastore_activity<'a>(self) -> Activity<'a> {
        match self {
            Self::Create => Activity::new(6, "Create"),
            Self::Read => Activity::new(1, "Read"),
            Self::Delete => Activity::new(7, "Delete"),
            _ => Activity::new(2, "Update"),
        }
    }
}

/// The words of an action: split at characters that are neither letters nor digits, and before a capital
/// after a small letter.
fn words(action: &str) -> impl Iterator<Item = &str> {
    action.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|mut rest| {
        std::iter::from_fn(move || {
            let bytes = rest.as_bytes();
            let capital = |i: &usize| bytes[*i].is_ascii_uppercase() && bytes[*i - 1].is_ascii_lowercase();
            let end = (1..bytes.len()).find(capital).unwrap_or(bytes.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            (!word.is_empty()).then_some(word)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_read_by_its_first_verb() {
        for (action, verb) in [
            ("CreateUser", Some(Verb::Create)),
            ("RunInstances", Some(Verb::Create)),
            ("DescribeDeletedImages", Some(Verb::Read)),
            ("BatchGetItem", Some(Verb::Read)),
            ("s3:GetObject", Some(Verb::Read)),
            ("iam:PutRolePolicy", Some(Verb::Update)),
            ("org.add_member", Some(Verb::Update)),
            ("users.delete", Some(Verb::Delete)),
            ("Microsoft.Compute/virtualMachines/write", Some(Verb::Update)),
            ("google.iam.admin.v1.CreateServiceAccount", Some(Verb::Create)),
            ("DisableKey", Some(Verb::Disable)),
            ("TERMINATE", Some(Verb::Delete)),
            ("crate.deleted", Some(Verb::Delete)),
            ("report.downloaded", Some(Verb::Read)),
            ("AssumeRole", None),
            ("git.push", None),
            ("getaway", None),
            ("ünïcode.äction", None),
            ("", None),
        ] {
            assert_eq!(Verb::of(action), verb, "{action}");
        }
    }
}
