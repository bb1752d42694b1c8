//! The Cedar schema that policies are validated against.

use model::Action;

const ENTITIES: &str = r#"
entity Group;
entity Tag;
entity User in [Group];
entity Agent in [Group];
entity Target in [Tag] { name: String };
entity Schema in [Target] { name: String };
entity Table in [Schema, Tag] { schema: String, name: String };
entity Column in [Table, Tag] { schema: String, table: String, name: String };
entity Function in [Schema] { schema: String, name: String };
entity Setting in [Target] { name: String };

type Statement = {
  kind: String,
  has_where: Bool,
  statements: Long,
  parameters: Long,
  tables: Set<String>,
  table_count: Long,
  functions: Set<String>,
};
type Value = {
  column: String,
  how: String,
  value: String,
};
type Chain = {
  path: String,
  depth: Long,
  root: String,
  users: Set<String>,
  agents: Set<String>,
};
type Facts = {
  statement: Statement,
  via?: String,
  why?: String,
  now: Long,
  address: String,
  application: String,
  encrypted: Bool,
  in_transaction: Bool,
  read_instructions: Bool,
  on_behalf_of: Set<String>,
  break_glass: Bool,
  chain: Chain,
  issuer?: String,
  groups_age?: Long,
  purpose?: String,
  approvals: Set<String>,
  values: Set<Value>,
  values_certain: Bool,
  literals: Long,
  estimated_rows?: Long,
  measured_rows?: Long,
};

action read, write, define;
"#;

/// The schema in Cedar's own syntax: entities, what is known of an operation, and every action with its group.
pub fn text() -> String {
    let mut text = ENTITIES.to_owned();
    for action in Action::ALL {
        let group = action.group().map(|g| format!(" in [{g}]")).unwrap_or_default();
        text.push_str(&format!(
            "action \"{}\"{group} appliesTo {{ principal: [User, Agent], \
             resource: [Target, Schema, Table, Column, Function, Setting], context: Facts }};\n",
            action.as_str()
        ));
    }
    text
}
