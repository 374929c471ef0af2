import com.fasterxml.jackson.databind.ObjectMapper;
import io.delta.tables.DeltaColumnBuilder;
import io.delta.tables.DeltaTable;
import io.delta.tables.DeltaTableBuilder;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/**
 * Spark with Delta Lake, fed SQL statements: one JSON object a line, {"sql": …, "into": folder or null}. What a
 * statement gives is written into the folder as Parquet, which keeps every type. Columns that SQL has no words for
 * are built: {"build": folder of a new table, "columns": [[name, type, "IDENTITY" or an expression or null], …]}. The
 * answer is {} or {"error": …}.
 */
public final class Statements {
  public static void main(String[] arguments) throws Exception {
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    ObjectMapper json = new ObjectMapper();
    SparkSession spark = session(arguments[0]);
    spark.sparkContext().setLogLevel("ERROR");
    answers.println(json.writeValueAsString(Map.of("spark", spark.version(), "delta", io.delta.package$.MODULE$.VERSION())));
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      Map<?, ?> request = json.readValue(line, Map.class);
      answers.println(json.writeValueAsString(answer(spark, request)));
    }
    spark.stop();
  }

  @SuppressWarnings("unchecked")
  private static Map<String, String> answer(SparkSession spark, Map<?, ?> request) {
    try {
      if (request.containsKey("build")) {
        build(spark, (String) request.get("build"), (List<List<String>>) request.get("columns"));
        return Map.of();
      }
      Dataset<Row> rows = spark.sql((String) request.get("sql"));
      if (request.get("into") != null) {
        rows.coalesce(1).write().parquet((String) request.get("into"));
      }
      return Map.of();
    } catch (Throwable error) {
      StringBuilder text = new StringBuilder();
      for (Throwable cause = error; cause != null; cause = cause.getCause()) {
        text.append(cause.getClass().getSimpleName()).append(": ").append(cause.getMessage()).append('\n');
      }
      return Map.of("error", text.toString());
    }
  }

  private static void build(SparkSession spark, String path, List<List<String>> columns) {
    DeltaTableBuilder table = DeltaTable.create(spark).location(path);
    for (List<String> each : columns) {
      DeltaColumnBuilder column = DeltaTable.columnBuilder(spark, each.get(0)).dataType(each.get(1));
      String generated = each.get(2);
      if (generated != null) {
        column = generated.equals("IDENTITY") ? column.generatedAlwaysAsIdentity() : column.generatedAlwaysAs(generated);
      }
      table = table.addColumn(column.build());
    }
    table.execute();
  }

  private static SparkSession session(String scratch) {
    return SparkSession.builder()
        .master("local[2]")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", scratch + "/warehouse")
        .config("spark.local.dir", scratch + "/local")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.network.timeout", "10h") // a machine that slept for minutes has not lost its executor
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.codegen.wholeStage", "false") // compiling costs more than rows so few
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.databricks.delta.snapshotPartitions", "1")
        .config("spark.databricks.delta.retentionDurationCheck.enabled", "false")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.parquet.datetimeRebaseModeInWrite", "CORRECTED")
        .config("spark.sql.sources.parallelPartitionDiscovery.parallelism", "1") // VACUUM lists in as many tasks
        // To the protocol CHAR(3) is a string; Spark pads it for its own readers.
        .config("spark.sql.readSideCharPadding", "false")
        // Without it the change feed passes dates through a calendar that has no 14 October 1582.
        .config("spark.sql.datetime.java8API.enabled", "true")
        .config("spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        .getOrCreate();
  }
}
