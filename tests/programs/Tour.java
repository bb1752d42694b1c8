// pgjdbc: metadata, simple and prepared (server-side from the fifth run), batches, COPY, errors. Prints what it sees.

import java.io.StringReader;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;

public class Tour {
    static void print(ResultSet rows) throws SQLException {
        ResultSetMetaData meta = rows.getMetaData();
        while (rows.next()) {
            StringJoiner line = new StringJoiner(" | ");
            for (int i = 1; i <= meta.getColumnCount(); i++) {
                line.add(meta.getColumnName(i) + "=" + rows.getString(i));
            }
            System.out.println(line);
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://127.0.0.1:" + env.get("PGPORT") + "/" + env.get("PGDATABASE") + "?sslmode=disable";
        try (Connection db = DriverManager.getConnection(url, env.get("PGUSER"), env.get("PGPASSWORD"))) {
            DatabaseMetaData meta = db.getMetaData();
            System.out.println(meta.getDatabaseProductVersion());
            print(meta.getTables(null, "public", "%", null));
            print(meta.getColumns(null, "public", "people", "%"));
            print(meta.getPrimaryKeys(null, "public", "notes"));
            print(meta.getImportedKeys(null, "public", "notes"));
            print(meta.getIndexInfo(null, "public", "people", false, false));
            try (PreparedStatement one = db.prepareStatement("SELECT id, name, balance, seen, md5(photo) FROM people WHERE id = ?")) {
                for (int id = 1; id <= 7; id++) {
                    one.setInt(1, id);
                    print(one.executeQuery());
                }
            }
            for (String bad : List.of("SELECT 1/0", "SELEKT", "SELECT * FROM nowhere")) {
                try (Statement s = db.createStatement()) {
                    s.execute(bad);
                } catch (SQLException e) {
                    System.out.println(e.getSQLState() + " " + e.getMessage());
                }
            }
            db.setAutoCommit(false);
            try (Statement s = db.createStatement()) {
                s.execute("CREATE TEMPORARY TABLE t (a int, b text)");
                try (PreparedStatement add = db.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
                    for (int i = 0; i < 5; i++) {
                        add.setInt(1, i);
                        add.setString(2, "row " + i);
                        add.addBatch();
                    }
                    System.out.println(Arrays.toString(add.executeBatch()));
                }
                long copied = db.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY t FROM STDIN", new StringReader("9\tnine\n"));
                System.out.println(copied);
                s.setFetchSize(2);
                print(s.executeQuery("SELECT * FROM t ORDER BY a"));
            }
            db.rollback();
        }
    }
}
