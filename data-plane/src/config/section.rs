//! The section as it is written.

use std::{collections::BTreeMap, fmt};

use luthien_service::Secret;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Consults, Limits, Timeouts};

/// The section `data_plane` of the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    pub(super) listen: Option<String>,
    pub(super) threads: Option<usize>,
    pub(super) control_plane: Option<Addresses>,
    pub(super) on_control_plane_loss: OnLoss,
    pub(super) upstreams: Option<BTreeMap<String, UpstreamSection>>,
    pub(super) routes: Option<Vec<RouteSection>>,
    pub(super) passthrough_paths: Vec<PassthroughSection>,
    pub(super) auth: AuthSection,
    pub(super) consults: Consults,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
}

impl Section {
    /// Whether the file says where policy services are.
    pub fn names_control_plane(&self) -> bool {
        self.control_plane.is_some()
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnLoss {
    #[default]
    Closed,
    Open,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamSection {
    pub(super) dialect: String,
    pub(super) base_url: String,
    pub(super) api_key: Option<Secret>,
    pub(super) auth_token: Option<Secret>,
    #[serde(default)]
    pub(super) forward_traceparent: bool,
    #[serde(default)]
    pub(super) compatible: bool,
    #[serde(default)]
    pub(super) reasoning_echo: bool,
    pub(super) max_output_tokens: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSection {
    pub(super) model: String,
    pub(super) upstream: Names,
    #[serde(rename = "as")]
    pub(super) rename: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthSection {
    #[serde(default)]
    pub(super) mode: AuthMode,
    pub(super) keys: Option<Vec<KeySection>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMode {
    #[default]
    Passthrough,
    Keys,
}

/// A name or a list of them.
#[derive(Clone, Debug)]
pub(super) struct Names(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrList;

        impl<'de> Visitor<'de> for NameOrList {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_any(NameOrList)
    }
}

/// One address or a list of them.
#[derive(Clone, Debug)]
pub(super) enum Addresses {
    One(String),
    List(Vec<String>),
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;

        impl<'de> Visitor<'de> for OneOrList {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: Error>(self, address: &str) -> Result<Addresses, E> {
                Ok(Addresses::One(address.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = list.next_element()? {
                    addresses.push(address);
                }
                Ok(Addresses::List(addresses))
            }
        }

        deserializer.deserialize_any(OneOrList)
    }
}

/// A path, with or without an upstream.
#[derive(Clone, Debug)]
pub(super) struct PassthroughSection {
    pub(super) path: String,
    pub(super) upstream: Option<String>,
}

impl<'de> Deserialize<'de> for PassthroughSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Led {
            path: String,
            upstream: String,
        }

        struct PathOrLed;

        impl<'de> Visitor<'de> for PathOrLed {
            type Value = PassthroughSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or { path, upstream }")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<PassthroughSection, E> {
                Ok(PassthroughSection { path: path.to_owned(), upstream: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PassthroughSection, A::Error> {
                let Led { path, upstream } = Led::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PassthroughSection { path, upstream: Some(upstream) })
            }
        }

        deserializer.deserialize_any(PathOrLed)
    }
}

/// A key, with or without a name.
#[derive(Clone, Debug)]
pub(super) struct KeySection {
    pub(super) name: Option<String>,
    pub(super) key: Secret,
}

impl<'de> Deserialize<'de> for KeySection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Named {
            name: String,
            key: Secret,
        }

        struct KeyOrNamed;

        impl<'de> Visitor<'de> for KeyOrNamed {
            type Value = KeySection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key, or { name, key }")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<KeySection, E> {
                let key = Secret::deserialize(key.into_deserializer())?;
                Ok(KeySection { name: None, key })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeySection, A::Error> {
                let Named { name, key } = Named::deserialize(MapAccessDeserializer::new(map))?;
                Ok(KeySection { name: Some(name), key })
            }
        }

        deserializer.deserialize_any(KeyOrNamed)
    }
}
