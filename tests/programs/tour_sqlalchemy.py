"""SQLAlchemy: reflection of everything in the schema. Prints what it sees."""

from sqlalchemy import MetaData, create_engine, inspect, select

engine = create_engine("postgresql+psycopg://")
meta = MetaData()
meta.reflect(engine, views=True)
for table in meta.sorted_tables:
    print(table.name, [(c.name, repr(c.type), c.nullable, c.primary_key) for c in table.columns], sorted(str(f.target_fullname) for f in table.foreign_keys))
look = inspect(engine)
for table in sorted(look.get_table_names()):
    print(table, look.get_indexes(table), look.get_unique_constraints(table), look.get_check_constraints(table), look.get_table_comment(table))
print(sorted(look.get_view_names()), look.get_view_definition("moods"), look.get_enums(), look.get_sequence_names(), look.get_domains())
people = meta.tables["people"]
with engine.connect() as db:
    print(db.execute(select(people.c.id, people.c.name).where(people.c.id < 4).order_by(people.c.id)).all())
